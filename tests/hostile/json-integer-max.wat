;; what: No attack: the largest and the smallest integer of 64 bits.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:alice","n":[18446744073709551615,-9223372036854775808]}

(data $actor "{\"id\":\"hostile:alice\",\"n\":[18446744073709551615,-9223372036854775808]}")
