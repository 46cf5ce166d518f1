;; what: An id with a bidirectional override: no control character, so it is the id, and what prints it must escape it.
;; call: verify
;; outcome: ok
;; actor: {"id":"hostile:\u202eecila"}

(data $actor "{\"id\":\"hostile:\\u202eecila\"}")
