;; what: Is built for a pre-release of version 0.1.0 of the contract.
;; call: load
;; outcome: other-version
;; wit: @0.1.0 => @0.1.0-rc.1
