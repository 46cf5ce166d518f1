;; what: Takes the token as bytes.
;; call: load
;; outcome: wrong-type
;; wit: verify: func(token: string) => verify: func(token: list<u8>)
