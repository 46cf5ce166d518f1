;; what: Has one function of 1.5 MB in an otherwise valid handler: the compilation time is bounded.
;; call: load
;; outcome: ok

(func
  (repeat 125000 (drop (i64.const -0x8000000000000000))))
