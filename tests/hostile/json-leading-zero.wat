;; what: A number begins with 0.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":01}")
