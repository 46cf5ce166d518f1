;; what: Has three memories, each within the limit and together above it.
;; call: load
;; outcome: too-complex

(memory 100)
(memory 100)
(memory 100)
