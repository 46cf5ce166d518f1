;; what: Declares 10,000 settings.
;; call: load
;; outcome: too-complex

(@custom "keyward:settings" (repeat 10000 "setting-{i}\n"))
