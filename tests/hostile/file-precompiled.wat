;; what: Is a precompiled component: code for this machine.
;; call: load
;; outcome: precompiled
;; bytes: cwasm-component
