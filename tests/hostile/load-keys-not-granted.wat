;; what: Imports `keys` without a grant.
;; call: load
;; outcome: not-granted

(import "keyward:handler/keys@0.1.0" "sign" (func $sign (param i32 i32 i32 i32 i32)))
