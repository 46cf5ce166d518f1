;; what: Imports an interface with an asynchronous function.
;; call: load
;; outcome: invalid

(component
  (import "keyward:handler/clock@0.1.0" (instance
    (type $now (func async (result u64)))
    (export "now" (func (type $now))))))
