;; what: A number begins with +.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":+1}")
