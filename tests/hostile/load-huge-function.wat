;; what: One function of 1.5 MB.
;; call: load
;; outcome: too-complex

(func
  (repeat 125000 (drop (i64.const -0x8000000000000000))))
