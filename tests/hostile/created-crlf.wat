;; what: The created token has a line break and a header.
;; call: create
;; outcome: bad-token

(data $created "ho_stile\r\nSet-Cookie: a=b")
