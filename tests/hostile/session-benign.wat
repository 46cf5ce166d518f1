;; what: Control: identifies the user of every request as one actor.
;; call: identify
;; outcome: ok
;; actor: {"id":"hostile:alice"}
;; world: token-and-session

;; A request: its method, path, headers and cookies, each with an address and a length. A header or
;; cookie is a name and a value.
(type $identify (func (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))

(func $identify (type $identify)
  (call $accept))

(export "keyward:handler/session-handler@0.1.0#identify" (func $identify))
