;; what: Is built for the contract without a version.
;; call: load
;; outcome: other-version
;; wit: @0.1.0 => 
