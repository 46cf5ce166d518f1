;; what: The id has the character DEL.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:\\u007f\"}")
