;; what: Accepts whatever it is shown, so that a verdict tells who was shown a token. Its own tokens begin with `rec_`.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice"}

(data $created "rec_made")
