;; what: Exports the right version of the contract, and imports the clock of another.
;; call: load
;; outcome: other-version
;; wit: world handler { => package keyward:handler@0.2.0 { interface clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; } } world handler { import keyward:handler/clock@0.2.0;

(import "keyward:handler/clock@0.2.0" "now" (func $now (param i32)))
(func $verify (param i32 i32) (result i32)
  (call $now (global.get $out))
  (call $accept))
