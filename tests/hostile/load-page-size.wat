;; what: Uses a memory with pages of one byte.
;; call: load
;; outcome: invalid

(component
  (core module
    (memory 1 (pagesize 1))))
