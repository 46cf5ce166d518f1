;; what: Imports an interface that the contract does not have.
;; call: load
;; outcome: unknown-import
;; wit: world handler { => interface spy { peek: func() -> u32; } world handler { import spy;

(import "keyward:handler/spy@0.1.0" "peek" (func $peek (result i32)))
(func $verify (param i32 i32) (result i32)
  (drop (call $peek))
  (call $accept))
