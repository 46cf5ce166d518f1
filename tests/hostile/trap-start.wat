;; what: Runs into `unreachable` in the start function.
;; call: load
;; outcome: trap

(func $begin unreachable)
(start $begin)
