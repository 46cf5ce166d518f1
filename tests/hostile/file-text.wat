;; what: Is a sentence of plain text.
;; call: load
;; outcome: not-a-component
;; bytes: text
