;; what: Asks for records that it is not granted.
;; call: load
;; outcome: not-granted
;; base: store-ask-on
