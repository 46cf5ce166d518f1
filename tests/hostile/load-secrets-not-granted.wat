;; what: Imports secrets, which the operator did not grant.
;; call: load
;; outcome: not-granted

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))
