;; what: The created token begins with a space.
;; call: create
;; outcome: bad-token

(data $created " ho_stile")
