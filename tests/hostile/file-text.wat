;; what: Is a sentence.
;; call: load
;; outcome: not-a-component
;; bytes: text
