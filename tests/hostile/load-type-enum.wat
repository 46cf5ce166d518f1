;; what: Knows one reason more: `accepted-after-all`.
;; call: load
;; outcome: wrong-type
;; wit: bad-signature, => bad-signature, accepted-after-all,
