;; what: The actor is no UTF-8: a character beyond U+10FFFF.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\f4\90\80\80\"}")
