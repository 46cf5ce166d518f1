;; what: Gives the argument of `verify` another name.
;; call: load
;; outcome: ok
;; wit: verify: func(token: string) => verify: func(secret: string)
