;; what: The actor is no UTF-8: the byte 0xff.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\ff\"}")
