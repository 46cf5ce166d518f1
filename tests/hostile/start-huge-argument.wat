;; what: Passes the host a line of 1 MiB during instantiation.
;; call: load
;; outcome: limit-host-bytes

(import "keyward:handler/log@0.1.0" "write" (func $log (param i32 i32 i32)))

(memory $memory 16)
(func (export "_initialize")
  (call $log (i32.const 3) (i32.const 0) (i32.const 0x100000)))
