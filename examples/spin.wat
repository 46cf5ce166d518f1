;; A token handler that never answers: the shortest attack there is.
;;
;; `cargo xtask demo` turns it into a component and lets it run. To do that by hand, assemble it (`wasm-tools parse`)
;; and give the result to `cargo xtask componentize`.
(module
  (memory (export "memory") 1)
  ;; Where the host puts the token: anywhere will do.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "keyward:handler/token-handler@0.1.0#create")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (unreachable))
  (func (export "keyward:handler/token-handler@0.1.0#verify") (param i32 i32) (result i32)
    (loop $for_ever (br $for_ever))
    (unreachable)))
