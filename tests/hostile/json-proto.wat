;; what: No attack in this world: names that mean something to JavaScript and Python.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","__proto__":{"admin":true},"constructor":1,"__class__":2}

(data $actor "{\"id\":\"hostile:alice\",\"__proto__\":{\"admin\":true},\"constructor\":1,\"__class__\":2}")
