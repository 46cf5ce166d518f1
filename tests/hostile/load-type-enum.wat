;; what: Adds a reason to the contract: `accepted-after-all`.
;; call: load
;; outcome: wrong-type
;; wit: bad-signature, => bad-signature, accepted-after-all,
