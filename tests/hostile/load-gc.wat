;; what: Uses garbage collection.
;; call: load
;; outcome: invalid

(component
  (core module
    (type (struct (field i32)))))
