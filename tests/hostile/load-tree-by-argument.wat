;; what: Creates 10^6 instances by passing the component down as an argument.
;; call: load
;; outcome: too-complex

(component
  (component $one
    (core module $m)
    (repeat 10 (core instance (instantiate $m))))
  (component $ten
    (import "next" (component $next))
    (repeat 10 (instance (instantiate $next))))
  (component $outer
    (import "wrap" (component $wrap (import "next" (component))))
    (import "next" (component $next))
    (repeat 100 (instance (instantiate $wrap (with "next" (component $next))))))
  (repeat 100 (instance
    (instantiate $outer (with "wrap" (component $ten)) (with "next" (component $one))))))
