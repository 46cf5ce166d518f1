;; what: Three memories, each within the limit, and together above it.
;; call: load
;; outcome: limit-memory

(memory 100)
(memory 100)
(memory 100)
