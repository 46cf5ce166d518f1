  ;; The contract's types, and a memory with a `realloc` in a separate module, so that imports can be
  ;; lowered before the module that calls them is instantiated, and calls reach the host directly.
  (import "keyward:handler/types@0.1.0" (instance $types
    (type $actions (list string))
    (type $restrictions (record
      (field "all" $actions)
      (field "database" (list (tuple string $actions)))
      (field "resource" (list (tuple string string $actions)))))
    (export "restrictions" (type $restrictions' (eq $restrictions)))
    (type $create-request (record
      (field "actor-id" string)
      (field "expires-after" (option u32))
      (field "restrictions" (option $restrictions'))
      (field "description" (option string))))
    (export "create-request" (type (eq $create-request)))
    (type $created (record
      (field "token" string) (field "token-id" (option string)) (field "expires-at" (option u64))))
    (export "created" (type (eq $created)))
    (type $denial (enum "disabled" "invalid-request" "not-permitted"))
    (export "denial" (type $denial' (eq $denial)))
    (type $create-denied (record (field "denial" $denial') (field "message" string)))
    (export "create-denied" (type $create-denied' (eq $create-denied)))
    (type $failure (variant (case "unavailable" string) (case "internal" string)))
    (export "failure" (type $failure' (eq $failure)))
    (type $create-error (variant (case "denied" $create-denied') (case "failed" $failure')))
    (export "create-error" (type (eq $create-error)))
    (type $acceptance (record
      (field "actor" string)
      (field "restrictions" (option $restrictions'))
      (field "token-id" (option string))
      (field "issued-at" (option u64))
      (field "expires-at" (option u64))))
    (export "acceptance" (type $acceptance' (eq $acceptance)))
    (type $reason (enum
      "malformed" "bad-signature" "expired" "not-yet-valid" "revoked" "disabled" "unknown"))
    (export "reason" (type $reason' (eq $reason)))
    (type $rejection (record (field "reason" $reason') (field "message" string)))
    (export "rejection" (type $rejection' (eq $rejection)))
    (type $verdict (variant (case "accepted" $acceptance') (case "not-mine") (case "rejected" $rejection')))
    (export "verdict" (type (eq $verdict)))))
  (alias export $types "restrictions" (type $restrictions))
  (alias export $types "create-request" (type $create-request))
  (alias export $types "created" (type $created))
  (alias export $types "create-error" (type $create-error))
  (alias export $types "verdict" (type $verdict))
  (alias export $types "failure" (type $failure))

  (core module $memory
    (memory (export "memory") 128)
    (global $heap (mut i32) (i32.const 0x80000))
    ;; The result of `verify`: accepted, with this actor.
    (data (i32.const 0x1000) "{\"id\":\"hostile:alice\"}")
    (data (i32.const 0x400) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\10\00\00\16\00\00\00")
    (data (i32.const 0x1100) "mine")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $heap)
      (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get 3)) (i32.const 15)) (i32.const -16)))))
  (core instance $m (instantiate $memory))
