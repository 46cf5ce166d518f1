;; what: Is a precompiled component: machine code for this machine.
;; call: load
;; outcome: precompiled
;; bytes: cwasm-component
