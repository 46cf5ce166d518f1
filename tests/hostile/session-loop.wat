;; what: Never returns.
;; call: identify
;; outcome: limit-cpu
;; world: token-and-session
;; base: session-benign

(func $identify (type $identify)
  (loop $again (br $again))
  unreachable)
