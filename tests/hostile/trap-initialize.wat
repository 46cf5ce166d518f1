;; what: Executes `unreachable` in `_initialize`.
;; call: load
;; outcome: trap

(func (export "_initialize") unreachable)
