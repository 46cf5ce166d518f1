;; what: Executes `unreachable` in `create`.
;; call: create
;; outcome: trap

(func $create (type $create)
  unreachable)
