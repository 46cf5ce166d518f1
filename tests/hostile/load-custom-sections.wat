;; what: Has a thousand and one custom sections.
;; call: load
;; outcome: too-complex

(repeat 1001 (@custom "section-{i}" "x"))
