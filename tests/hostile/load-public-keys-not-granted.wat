;; what: Imports `public-keys` without a grant.
;; call: load
;; outcome: not-granted

(import "keyward:handler/public-keys@0.1.0" "verify"
  (func $check (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
