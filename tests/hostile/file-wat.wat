;; what: Is WebAssembly in text form.
;; call: load
;; outcome: not-a-component
;; bytes: wat-text
