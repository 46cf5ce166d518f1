;; what: Loops forever in the destructor of a resource that it creates and drops itself.
;; call: verify
;; outcome: limit-cpu
;; wit: export token-handler; => export token-handler; export hostile-things: interface { resource thing; }

(import "[export]hostile-things" "[resource-new]thing" (func $new (param i32) (result i32)))
(import "[export]hostile-things" "[resource-drop]thing" (func $drop (param i32)))

(func (export "hostile-things#[dtor]thing") (param i32)
  (loop $again (br $again)))

(func $verify (param i32 i32) (result i32)
  (call $drop (call $new (i32.const 1)))
  (call $accept))
