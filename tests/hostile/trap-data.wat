;; what: Its initial data lies outside of its memory.
;; call: load
;; outcome: trap

(data (i32.const 0x1fffc) "hostile")
