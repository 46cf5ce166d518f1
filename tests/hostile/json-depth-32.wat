;; what: No attack: 32 levels deep, the limit itself.
;; call: verify
;; outcome: ok

(data $actor "{\"id\":\"hostile:alice\",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}")
