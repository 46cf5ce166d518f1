;; what: Asks for queries that it is not granted.
;; call: load
;; outcome: not-granted
;; base: queries-ask-on
