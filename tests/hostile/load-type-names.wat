;; what: Calls the argument of verify by another name.
;; call: load
;; outcome: wrong-type
;; wit: verify: func(token: string) => verify: func(secret: string)
