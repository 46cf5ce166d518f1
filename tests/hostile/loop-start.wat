;; what: Loops forever in the start function.
;; call: load
;; outcome: limit-cpu

(func $loop (loop $again (br $again)))
(start $loop)
