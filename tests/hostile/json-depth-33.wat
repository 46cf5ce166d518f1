;; what: The actor is 33 levels deep.
;; call: verify
;; outcome: rejected not-permitted

(data $actor "{\"id\":\"hostile:alice\",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}")
