;; what: Uses task and stream built-ins.
;; call: load
;; outcome: invalid

(component
  (type $s (stream u8))
  (core func (canon stream.new $s)))
