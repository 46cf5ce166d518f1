;; what: A number is hexadecimal.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"n\":0x10}")
