;; what: Calls the argument of verify by another name.
;; call: load
;; outcome: ok
;; wit: verify: func(token: string) => verify: func(secret: string)
