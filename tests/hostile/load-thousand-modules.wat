;; what: Has a thousand core modules, none of which is instantiated.
;; call: load
;; outcome: too-complex

(component
  (repeat 1000 (core module)))
