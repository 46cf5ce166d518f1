;; what: Control: a string has the escape of a pair of surrogates.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","a":"\ud83d\ude00"}

(data $actor "{\"id\":\"hostile:alice\",\"a\":\"\\ud83d\\ude00\"}")
