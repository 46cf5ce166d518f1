;; what: Loops forever in `_initialize`, which runs once all imports are linked.
;; call: load
;; outcome: limit-cpu

(func (export "_initialize") (loop $again (br $again)))
