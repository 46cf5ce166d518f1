;; what: Control: the actor is 32 levels deep, exactly the limit.
;; call: verify
;; outcome: ok

(data $actor "{\"id\":\"hostile:alice\",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}")
