;; what: Has initial data outside its memory.
;; call: load
;; outcome: trap

(data (i32.const 0x1fffc) "hostile")
