;; what: Loops forever in `create`.
;; call: create
;; outcome: limit-cpu

(func $create (type $create)
  (loop $again (br $again))
  unreachable)
