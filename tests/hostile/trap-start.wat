;; what: Executes `unreachable` in the start function.
;; call: load
;; outcome: trap

(func $begin unreachable)
(start $begin)
