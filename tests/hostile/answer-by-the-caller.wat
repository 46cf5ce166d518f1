;; what: Returns bytes that the caller chose, as hexadecimal digits in the token or the description.
;; call: verify
;; outcome: bad-result

;; The bytes become the result area at 0x4000 and the memory behind it, so that the token controls
;; every discriminant, pointer and length, and the texts and lists that they point to. There is room
;; for 48 KiB.

(func $verify (param $token i32) (param $len i32) (result i32)
  (call $answer (i32.add (local.get $token) (i32.const 3)) (i32.sub (local.get $len) (i32.const 3))))

;; The last two parameters are the description.
(func $create (type $create)
  (call $answer (local.get 12) (local.get 13)))

(func $answer (param $from i32) (param $digits i32) (result i32)
  (local $to i32) (local $end i32)
  (local.set $to (i32.const 0x4000))
  (local.set $end (i32.add (local.get $from) (i32.and (local.get $digits) (i32.const -2))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
      (i32.store8 (local.get $to)
        (i32.or
          (i32.shl (call $digit (local.get $from)) (i32.const 4))
          (call $digit (i32.add (local.get $from) (i32.const 1)))))
      (local.set $from (i32.add (local.get $from) (i32.const 2)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br $next)))
  (i32.const 0x4000))

;; The value of a hexadecimal digit; an arbitrary number for any other character.
(func $digit (param $at i32) (result i32)
  (i32.add
    (i32.and (i32.load8_u (local.get $at)) (i32.const 15))
    (i32.mul (i32.const 9) (i32.shr_u (i32.load8_u (local.get $at)) (i32.const 6)))))
