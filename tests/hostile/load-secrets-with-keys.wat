;; what: Imports `secrets` with a grant for keys only.
;; call: load
;; outcome: not-granted
;; grants: keys

(import "keyward:handler/secrets@0.1.0" "find" (func $find (param i32 i32 i32)))
