;; what: A token that does not end, of a handler that has a max_ttl.
;; call: verify
;; outcome: rejected not-permitted
;; max-ttl: 3600

(func $verify (param i32 i32) (result i32)
  (call $accept))
