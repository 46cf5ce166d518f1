;; what: One function of 1.5 MB, in a handler that is good: the time to compile is bounded.
;; call: load
;; outcome: ok

(func
  (repeat 125000 (drop (i64.const -0x8000000000000000))))
