;; what: The created token has 1 MiB.
;; call: create
;; outcome: limit-host-bytes

(memory $memory 20)
(func $create (type $create)
  (drop (call $give))
  (i32.store offset=12 (global.get $made) (i32.const 0x100000))
  (global.get $made))
