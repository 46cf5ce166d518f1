;; what: Looks up a record with a NUL in its id.
;; call: verify
;; outcome: ok
;; grants: store

(import "keyward:handler/store@0.1.0" "find" (func $find (param i32 i32 i32)))

(data $id "../other\00/x")
(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $find (global.get $id.ptr) (global.get $id.len) (global.get $out))
  ;; A record that is found would show in the verdict.
  (if (i32.load8_u (global.get $out)) (then (return (call $reject (i32.const 6)))))
  (call $accept))
