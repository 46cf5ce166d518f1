;; what: Nests components 40 deep.
;; call: load
;; outcome: too-complex

(component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component (component ))))))))))))))))))))))))))))))))))))))))
