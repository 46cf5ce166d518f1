;; what: Control: accepts every token as one actor, and always creates the same token.
;; call: verify+create
;; outcome: ok
;; actor: {"id":"hostile:alice"}

;; The base of the other cases. A token is passed in through $realloc. A result is written to a result
;; area, initially all zero, in the layout of the canonical ABI, and its address is returned.
;;
;; $verdict, the 96 bytes that `verify` returns, aligned to 8:
;;    0  0 ok, 1 failure
;;    8  ok: 0 accepted, 1 not-mine, 2 rejected
;;         accepted: 16 actor, 24 restrictions? (28 all, 36 database, 44 resource), 52 token-id? (56),
;;                   64 issued-at? (72), 80 expires-at? (88)
;;         rejected: 16 reason, 20 message
;;    8  failure: 0 unavailable, 1 internal; 12 text
;;
;; $made, the 48 bytes that `create` returns, aligned to 8:
;;    0  0 ok, 1 error
;;    8  ok: token; 16 token-id? (20), 32 expires-at? (40)
;;    8  error: 0 denied: 12 denial, 16 message; 1 failed: 12 failure, 16 text
;;
;; A string or list is its address followed by its length four bytes later; an option is preceded by
;; 1 if it is present.

(type $create (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))

(memory $memory 2)
(global $verdict i32 (i32.const 0x400))
(global $made i32 (i32.const 0x500))
(global $out i32 (i32.const 0x600)) ;; where imports write their results
(global $heap (mut i32) (i32.const 0x10000))

(data $actor "{\"id\":\"hostile:alice\"}")
(data $created "ho_stile")
(data $message "no")

(func $verify (param $token i32) (param $token.len i32) (result i32)
  (call $accept))

(func $create (type $create)
  (call $give))

;; Accepted: $actor.
(func $accept (result i32)
  (i32.store offset=16 (global.get $verdict) (global.get $actor.ptr))
  (i32.store offset=20 (global.get $verdict) (global.get $actor.len))
  (global.get $verdict))

;; Rejected, with $message. Reasons: 0 malformed, 1 bad-signature, 2 expired, 3 not-yet-valid,
;; 4 revoked, 5 disabled, 6 unknown.
(func $reject (param $reason i32) (result i32)
  (i32.store8 offset=8 (global.get $verdict) (i32.const 2))
  (i32.store8 offset=16 (global.get $verdict) (local.get $reason))
  (i32.store offset=20 (global.get $verdict) (global.get $message.ptr))
  (i32.store offset=24 (global.get $verdict) (global.get $message.len))
  (global.get $verdict))

;; Created: $created.
(func $give (result i32)
  (i32.store offset=8 (global.get $made) (global.get $created.ptr))
  (i32.store offset=12 (global.get $made) (global.get $created.len))
  (global.get $made))

;; Denied, with $message. Denials: 0 disabled, 1 invalid-request, 2 not-permitted.
(func $deny (param $denial i32) (result i32)
  (i32.store8 (global.get $made) (i32.const 1))
  (i32.store8 offset=12 (global.get $made) (local.get $denial))
  (i32.store offset=16 (global.get $made) (global.get $message.ptr))
  (i32.store offset=20 (global.get $made) (global.get $message.len))
  (global.get $made))

;; Memory for arguments: never freed, aligned to 16.
(func $realloc (param $old i32) (param $old.len i32) (param $align i32) (param $len i32) (result i32)
  (local $at i32)
  (local.set $at (global.get $heap))
  (global.set $heap
    (i32.and (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 15)) (i32.const -16)))
  (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
    (then
      (if (i32.eq (i32.const -1)
            (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $len) (i32.const 16)))))
        (then unreachable))))
  (local.get $at))

(export "memory" (memory $memory))
(export "cabi_realloc" (func $realloc))
(export "keyward:handler/token-handler@0.1.0#verify" (func $verify))
(export "keyward:handler/token-handler@0.1.0#create" (func $create))
