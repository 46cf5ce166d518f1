;; what: Uses stack switching.
;; call: load
;; outcome: invalid

(component
  (core module
    (type $f (func))
    (type $c (cont $f))))
