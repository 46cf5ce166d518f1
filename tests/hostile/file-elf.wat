;; what: Is a program of the operating system.
;; call: load
;; outcome: precompiled
;; bytes: elf
