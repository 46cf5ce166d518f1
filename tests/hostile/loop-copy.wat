;; what: Evades the clock with memory.copy: 7 MiB at a time, forever.
;; call: verify
;; outcome: limit-cpu

(memory $memory 242)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (memory.copy (i32.const 0x20000) (i32.const 0x800000) (i32.const 0x700000))
    (br $again))
  unreachable)
