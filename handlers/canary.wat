;; A handler that looks for leftovers of earlier calls, and then leaves its own.
;;
;; `cargo xtask handlers` turns it into the component `keyward_handlers::CANARY`, with which the
;; runtime proves that its sandbox holds: see `runtime/src/proofs.rs`. The eighth letter
;; of a token, behind a prefix of seven, selects what `verify` does:
;;
;;   l  accepts if memory, globals, table and locals are as in a fresh instance, and dirties all
;;   b  dirties first: accepts only if the search is blind
;;   s  never returns
;;   g  grows its memory without end
(module
  (memory (export "memory") 4)
  (table $table 64 funcref)
  (elem declare func $look)
  (global $number (mut i64) (i64.const 0))
  (global $function (mut funcref) (ref.null func))
  (data (i32.const 0x100) "{\"id\":\"canary\"}")

  ;; Only the token is passed in: it is written here.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x200))

  (func (export "keyward:handler/token-handler@0.1.0#create")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (unreachable))

  (func (export "keyward:handler/token-handler@0.1.0#verify") (param $token i32) (param $len i32) (result i32)
    (local $mode i32)
    (local.set $mode (i32.load8_u offset=7 (local.get $token)))
    (if (i32.eq (local.get $mode) (i32.const 0x73)) (then (loop $spin (br $spin))))
    (if (i32.eq (local.get $mode) (i32.const 0x67)) (then (loop $grow (drop (memory.grow (i32.const 1))) (br $grow))))
    (if (i32.eq (local.get $mode) (i32.const 0x62)) (then (call $dirty)))
    ;; The result, at 0x400: accepted with an actor, or not mine.
    (if (call $look)
      (then
        (i32.store (i32.const 0x410) (i32.const 0x100))
        (i32.store (i32.const 0x414) (i32.const 15)))
      (else (i32.store8 (i32.const 0x408) (i32.const 1))))
    (call $dirty)
    (i32.const 0x400))

  ;; 1 if nothing is left from another call.
  (func $look (result i32)
    (local $at i32) (local $fresh i64) (local $reference funcref)
    (if (i64.ne (local.get $fresh) (i64.const 0)) (then (return (i32.const 0))))
    (if (i32.eqz (ref.is_null (local.get $reference))) (then (return (i32.const 0))))
    (if (i64.ne (global.get $number) (i64.const 0)) (then (return (i32.const 0))))
    (if (i32.eqz (ref.is_null (global.get $function))) (then (return (i32.const 0))))
    (if (i32.ne (memory.size) (i32.const 4)) (then (return (i32.const 0))))
    (loop $table
      (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $table (i32.lt_u (local.get $at) (i32.const 64))))
    (local.set $at (i32.const 0x1000))
    (loop $memory
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $memory (i32.lt_u (local.get $at) (i32.const 0x40000))))
    (i32.const 1))

  (func $dirty
    (local $at i32)
    (global.set $number (i64.const -1))
    (global.set $function (ref.func $look))
    (loop $table
      (table.set $table (local.get $at) (ref.func $look))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $table (i32.lt_u (local.get $at) (i32.const 64))))
    (memory.fill (i32.const 0x1000) (i32.const 0xaa) (i32.const 0x3f000))
    (drop (memory.grow (i32.const 1)))
    ;; The result area is below, and as the host expects it.
    (i32.store (i32.const 0x300) (i32.const -1))))
