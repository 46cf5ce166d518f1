;; what: The token id is not UTF-8.
;; call: verify
;; outcome: bad-result

(data $token-id "id\c3")
(func $verify (param i32 i32) (result i32)
  (i32.store8 offset=52 (global.get $verdict) (i32.const 1))
  (i32.store offset=56 (global.get $verdict) (global.get $token-id.ptr))
  (i32.store offset=60 (global.get $verdict) (global.get $token-id.len))
  (call $accept))
