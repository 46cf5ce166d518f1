;; what: The actor is 33 levels deep.
;; call: verify
;; outcome: limit-actor-depth

(data $actor "{\"id\":\"hostile:alice\",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}")
