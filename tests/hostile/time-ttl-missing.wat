;; what: The token does not expire, from a handler with a max_ttl.
;; call: verify
;; outcome: rejected not-permitted
;; max-ttl: 3600

(func $verify (param i32 i32) (result i32)
  (call $accept))
