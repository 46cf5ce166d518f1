;; what: Creates 2^16 instances from 18: each component instantiates its argument twice.
;; call: load
;; outcome: too-complex

(component
  (component $leaf
    (core module $m)
    (core instance (instantiate $m)))
  (component $double
    (import "next" (component $next))
    (component $twice
      (instance (instantiate $next))
      (instance (instantiate $next)))
    (export "twice" (component $twice)))
  (instance $d0 (instantiate $double (with "next" (component $leaf))))
  (instance $d1 (instantiate $double (with "next" (component $d0 "twice"))))
  (instance $d2 (instantiate $double (with "next" (component $d1 "twice"))))
  (instance $d3 (instantiate $double (with "next" (component $d2 "twice"))))
  (instance $d4 (instantiate $double (with "next" (component $d3 "twice"))))
  (instance $d5 (instantiate $double (with "next" (component $d4 "twice"))))
  (instance $d6 (instantiate $double (with "next" (component $d5 "twice"))))
  (instance $d7 (instantiate $double (with "next" (component $d6 "twice"))))
  (instance $d8 (instantiate $double (with "next" (component $d7 "twice"))))
  (instance $d9 (instantiate $double (with "next" (component $d8 "twice"))))
  (instance $d10 (instantiate $double (with "next" (component $d9 "twice"))))
  (instance $d11 (instantiate $double (with "next" (component $d10 "twice"))))
  (instance $d12 (instantiate $double (with "next" (component $d11 "twice"))))
  (instance $d13 (instantiate $double (with "next" (component $d12 "twice"))))
  (instance $d14 (instantiate $double (with "next" (component $d13 "twice"))))
  (instance $d15 (instantiate $double (with "next" (component $d14 "twice"))))
  (instance (instantiate (component $d15 "twice"))))
