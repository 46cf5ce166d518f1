;; what: Looks up a secret of 100,000 bytes.
;; call: verify
;; outcome: rejected unknown
;; grants: secrets
;; base: secrets-guess

(memory $memory 6)
(global $heap (mut i32) (i32.const 0x50000))
(data $candidate (repeat 100000 "a"))
