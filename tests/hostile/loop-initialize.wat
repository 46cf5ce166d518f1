;; what: Loops for ever in `_initialize`, which runs when all imports are linked.
;; call: load
;; outcome: limit-cpu

(func (export "_initialize") (loop $again (br $again)))
