;; what: Takes the token as bytes instead of a string.
;; call: load
;; outcome: wrong-type
;; wit: verify: func(token: string) => verify: func(token: list<u8>)
