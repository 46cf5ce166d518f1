;; what: Has 50,001 data segments.
;; call: load
;; outcome: too-complex

(repeat 50001 (data "x"))
