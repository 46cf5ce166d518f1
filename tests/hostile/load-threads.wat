;; what: Uses shared memory.
;; call: load
;; outcome: invalid

(component
  (core module
    (memory 1 1 shared)))
