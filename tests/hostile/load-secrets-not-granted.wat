;; what: Imports `secrets` without a grant.
;; call: load
;; outcome: not-granted

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))
