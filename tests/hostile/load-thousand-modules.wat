;; what: A thousand core modules, none of them instantiated.
;; call: load
;; outcome: too-complex

(component
  (repeat 1000 (core module)))
