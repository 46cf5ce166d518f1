;; what: Has 100,001 functions.
;; call: load
;; outcome: too-complex

(repeat 100001 (func))
