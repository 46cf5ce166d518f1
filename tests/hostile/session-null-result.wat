;; what: Returns a result outside of its memory.
;; call: identify
;; outcome: bad-result
;; world: token-and-session
;; base: session-benign

(func $identify (type $identify)
  (i32.const 0x7ffffff8))
