;; what: Does not export `verify`.
;; call: load
;; outcome: missing-export
;; wit:   verify: func(token =>   check: func(token
;; wit: token-handler@0.1.0#verify => token-handler@0.1.0#check
