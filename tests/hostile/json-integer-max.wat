;; what: Control: the largest and the smallest 64-bit integer.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","n":[18446744073709551615,-9223372036854775808]}

(data $actor "{\"id\":\"hostile:alice\",\"n\":[18446744073709551615,-9223372036854775808]}")
