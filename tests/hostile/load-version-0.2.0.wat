;; what: Is built for version 0.2.0 of the contract.
;; call: load
;; outcome: other-version
;; wit: @0.1.0 => @0.2.0
