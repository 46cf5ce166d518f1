;; what: Grows its memory until it is stopped.
;; call: identify
;; outcome: limit-memory
;; world: token-and-session
;; base: session-benign

(func $identify (type $identify)
  (loop $again
    (drop (memory.grow (i32.const 16)))
    (br $again))
  unreachable)
