;; what: Does not export `create`.
;; call: load
;; outcome: missing-export
;; wit:   create: func(request =>   make: func(request
;; wit: token-handler@0.1.0#create => token-handler@0.1.0#make
