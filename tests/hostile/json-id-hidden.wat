;; what: The id consists of characters that nobody can see: Hangul fillers, a blank Braille pattern, a zero-width space.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"\\u3164\\u115f \\u2800\\u200b\"}")
