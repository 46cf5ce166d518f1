;; what: Is WebAssembly as text.
;; call: load
;; outcome: not-a-component
;; bytes: wat-text
