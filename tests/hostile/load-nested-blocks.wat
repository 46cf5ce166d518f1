;; what: Has 2,001 nested blocks in a function.
;; call: load
;; outcome: too-complex

(func
  (repeat 2001 block)
  (repeat 2001 end))
