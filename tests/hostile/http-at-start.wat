;; what: Requests the operator's endpoint during instantiation.
;; call: load
;; outcome: forbidden-call
;; grants: http
;; base: http-send-on

(func (export "_initialize")
  (call $request (i32.const 0)))
