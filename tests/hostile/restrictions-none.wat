;; what: Control: restrictions that allow nothing.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","_r":{}}

(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=24 (global.get $verdict) (i32.const 1))
  (call $accept))
