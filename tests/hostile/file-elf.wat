;; what: Is a program of the operating system.
;; call: load
;; outcome: not-a-component
;; bytes: elf
