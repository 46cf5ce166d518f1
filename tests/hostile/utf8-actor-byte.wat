;; what: The actor is not UTF-8: it has the byte 0xff.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\ff\"}")
