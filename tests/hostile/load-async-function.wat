;; what: Exports `verify` as an asynchronous function.
;; call: load
;; outcome: invalid

(component
  (type $verify (func async (param "token" string) (result bool)))
  (import "verify" (func (type $verify))))
