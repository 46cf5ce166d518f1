;; what: Imports a function outside any interface.
;; call: load
;; outcome: unknown-import
;; wit: import log; => import log; import peek: func() -> u32;

(import "$root" "peek" (func $peek (result i32)))
(func $verify (param i32 i32) (result i32)
  (drop (call $peek))
  (call $accept))
