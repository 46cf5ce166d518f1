;; what: Has 20,001 globals.
;; call: load
;; outcome: too-complex

(repeat 20001 (global i32 (i32.const 0)))
