;; what: Traps.
;; call: identify
;; outcome: trap
;; world: token-and-session
;; base: session-benign

(func $identify (type $identify)
  unreachable)
