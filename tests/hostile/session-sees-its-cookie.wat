;; what: Control: sees one cookie, and neither header, method nor path without a grant.
;; call: identify
;; outcome: ok
;; world: token-and-session
;; base: session-benign

(func $identify (type $identify)
  (if (i32.ne (local.get 7) (i32.const 1)) (then unreachable))
  (if (i32.ne (local.get 5) (i32.const 0)) (then unreachable))
  (if (i32.ne (local.get 3) (i32.const 0)) (then unreachable))
  (if (i32.ne (local.get 1) (i32.const 0)) (then unreachable))
  ;; The name `sid`.
  (if (i32.ne (i32.load offset=4 (local.get 6)) (i32.const 3)) (then unreachable))
  (if (i32.ne (i32.load8_u (i32.load (local.get 6))) (i32.const 0x73)) (then unreachable))
  (call $accept))
