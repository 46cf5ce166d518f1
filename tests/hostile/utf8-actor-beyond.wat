;; what: The actor is not UTF-8: it has a character beyond U+10FFFF.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\f4\90\80\80\"}")
