;; what: Signs bytes outside its memory.
;; call: create
;; outcome: bad-result
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(data $label "mine")
(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (i32.const 0x10000) (i32.const 0x10001) (global.get $out))
  (call $give))
