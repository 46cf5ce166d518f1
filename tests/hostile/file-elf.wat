;; what: Is an executable of the operating system.
;; call: load
;; outcome: precompiled
;; bytes: elf
