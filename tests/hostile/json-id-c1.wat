;; what: The id has the control character U+009B.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\\u009b31m\"}")
