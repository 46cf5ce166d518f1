;; what: The id consists of invisible characters, such as Hangul fillers and a zero-width space.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"\\u3164\\u115f \\u2800\\u200b\"}")
