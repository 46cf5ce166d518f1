;; what: A string has a pair of surrogates in the wrong order.
;; call: verify
;; outcome: bad-result

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\\udc00\\ud800\"}")
