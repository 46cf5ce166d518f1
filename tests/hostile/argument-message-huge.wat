;; what: Signs 1 MiB.
;; call: create
;; outcome: limit-host-bytes
;; grants: keys

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))

(memory $memory 20)
(data $label "mine")
(func $create (type $create)
  (call $sign (global.get $label.ptr) (global.get $label.len) (i32.const 0x20000) (i32.const 0x100000) (global.get $out))
  (call $give))
