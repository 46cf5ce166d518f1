;; what: Control: names with a special meaning in JavaScript and Python.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","__proto__":{"admin":true},"constructor":1,"__class__":2}

(data $actor "{\"id\":\"hostile:alice\",\"__proto__\":{\"admin\":true},\"constructor\":1,\"__class__\":2}")
