;; what: Accepts every token, which shows which handler was called; its tokens begin with `rec_`.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice"}

(data $created "rec_made")
