;; what: The id has a bidirectional override, which must be escaped where it is printed.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:\u202eecila"}

(data $actor "{\"id\":\"hostile:\\u202eecila\"}")
