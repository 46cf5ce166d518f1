;; what: Returns an address outside memory from cabi_realloc when an import returns bytes.
;; call: verify
;; outcome: bad-result

(import "keyward:handler/random@0.1.0" "bytes" (func $random (param i32 i32)))

(global $first (mut i32) (i32.const 1))
(func $realloc (param i32 i32 i32 i32) (result i32)
  ;; The first call is for the token, and gets a valid address.
  (if (global.get $first)
    (then (global.set $first (i32.const 0)) (return (i32.const 0x10000))))
  (i32.const 0xfffffff0))
(func $verify (param i32 i32) (result i32)
  (call $random (i32.const 32) (global.get $out))
  (call $accept))
