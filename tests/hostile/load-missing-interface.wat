;; what: Exports the same functions under another name.
;; call: load
;; outcome: missing-export
;; wit: interface token-handler { => interface token-maker {
;; wit: export token-handler; => export token-maker;
;; wit: 0.1.0#verify => 0.1.0#verify
;; wit: handler/token-handler => handler/token-maker
