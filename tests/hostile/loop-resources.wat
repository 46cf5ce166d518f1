;; what: Creates resources forever: each takes an entry in a table of the host.
;; call: verify
;; outcome: bad-result
;; wit: export token-handler; => export token-handler; export hostile-things: interface { resource thing; }

(import "[export]hostile-things" "[resource-new]thing" (func $new (param i32) (result i32)))

(func $verify (param i32 i32) (result i32)
  (loop $again
    (drop (call $new (i32.const 1)))
    (br $again))
  unreachable)
