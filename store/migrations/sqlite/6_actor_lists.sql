-- A page of an actor's records is read in order, however many the actor has.
CREATE INDEX tokens_by_actor_issue ON tokens (actor_id, issued_at, handler, id);
