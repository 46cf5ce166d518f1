;; A token handler that never returns: the shortest possible attack.
;;
;; `cargo xtask demo` turns it into a component and runs it. By hand: `keyward build spin.wat`.
(module
  (memory (export "memory") 1)
  ;; The host writes the token to this address: any address will do.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "keyward:handler/token-handler@0.1.0#create")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (unreachable))
  (func (export "keyward:handler/token-handler@0.1.0#verify") (param i32 i32) (result i32)
    (loop $for_ever (br $for_ever))
    (unreachable)))
