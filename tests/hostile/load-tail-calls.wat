;; what: Uses tail calls to loop without a stack.
;; call: load
;; outcome: invalid

(component
  (core module
    (func $loop (return_call $loop))))
