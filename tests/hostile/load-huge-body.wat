;; what: Has a function of more than 2 MiB.
;; call: load
;; outcome: too-complex

(func
  (repeat 200000 (drop (i64.const -0x8000000000000000))))
