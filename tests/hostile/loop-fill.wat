;; what: Evades the clock with memory.fill: 15 MiB at a time, forever.
;; call: verify
;; outcome: limit-cpu

(memory $memory 242)
(func $verify (param i32 i32) (result i32)
  (loop $again
    (memory.fill (i32.const 0x20000) (i32.const 0xaa) (i32.const 0xf00000))
    (br $again))
  unreachable)
