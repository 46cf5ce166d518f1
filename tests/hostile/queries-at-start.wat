;; what: Queries the operator's database during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: queries
;; base: queries-ask-on

(func (export "_initialize")
  (call $query (i32.const 0)))
