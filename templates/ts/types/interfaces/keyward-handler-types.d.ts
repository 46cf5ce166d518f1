declare module 'keyward:handler/types@0.1.0' {
  /**
   * An allow-list that only narrows what the actor may do. An empty one allows nothing; no
   * allow-list at all (`none` where this is optional) leaves the actor its own rights.
   * 
   * Actions are the operator's abbreviations where there is one (`vi` for `view-instance`).
   */
  export interface Restrictions {
    /**
     * Actions allowed on everything.
     */
    all: Array<string>,
    /**
     * A database, and the actions allowed on it and on everything in it.
     */
    database: Array<[string, Array<string>]>,
    /**
     * A database, a resource in it, and the actions allowed on that resource alone.
     */
    resource: Array<[string, string, Array<string>]>,
  }
  /**
   * A request to create a token. The host has checked it: the actor is one this handler may vouch
   * for, actions are abbreviated, a database or resource named twice is merged in first-seen
   * order.
   */
  export interface CreateRequest {
    /**
     * The actor that the token speaks for: not only whitespace, no control characters, at most
     * 1,024 bytes by default.
     */
    actorId: string,
    /**
     * Seconds from now until the token expires; `none` requests a token without expiry. Never 0.
     */
    expiresAfter?: number,
    /**
     * `none` leaves the actor its own rights; `some` of an empty list of each kind allows nothing.
     */
    restrictions?: Restrictions,
    /**
     * The caller's note about the token, for handlers that keep one.
     */
    description?: string,
  }
  /**
   * A created token.
   */
  export interface Created {
    /**
     * The token: characters `A-Z a-z 0-9 . _ ~ + / = -` only, at most 8,192 bytes by default. The
     * host refuses a token whose prefix does not lead back to the handler, or that is only its
     * prefix.
     */
    token: string,
    /**
     * The id of this token for revocation and audit: equal to `acceptance.token-id` when it is
     * verified. Printable ASCII, 1 to 256 bytes, no space at either end.
     */
    tokenId?: string,
    /**
     * When the token expires; `none` if it does not.
     */
    expiresAt?: bigint,
  }
  /**
   * The reason that a working handler refuses to create a token.
   * # Variants
   * 
   * ## `"disabled"`
   * 
   * The operator's settings disable creation.
   * ## `"invalid-request"`
   * 
   * The request has terms that this handler does not support.
   * ## `"not-permitted"`
   * 
   * This caller or this handler may not create such a token.
   */
  export type Denial = 'disabled' | 'invalid-request' | 'not-permitted';
  /**
   * A refusal to create, with a sentence for the caller (truncated to 1,024 bytes).
   */
  export interface CreateDenied {
    denial: Denial,
    message: string,
  }
  /**
   * The claims of a handler about a valid token. The host checks every field against its policy
   * before a caller sees an actor.
   */
  export interface Acceptance {
    /**
     * A JSON object (RFC 8259), by default at most 64 KiB and 32 levels deep, no name twice,
     * numbers within 64 bits, not empty. `id`, where present, is an integer, or a string that is
     * not blank and has no control characters. The names `_r` and `token_expires` are the host's
     * and must not be there.
     */
    actor: string,
    /**
     * `none`: the token does not narrow the actor's rights.
     */
    restrictions?: Restrictions,
    /**
     * The name of this token for revocation and audit: printable ASCII, 1 to 256 bytes, no blank
     * at either end. Derive it from what is signed, never from the signature or the token's text,
     * both of which may have several spellings.
     */
    tokenId?: string,
    /**
     * When the token was issued. The host rejects one more than 60 seconds (the operator's
     * `leeway`) in the future.
     */
    issuedAt?: bigint,
    /**
     * The last second in which the token is valid; it expires once the clock has passed it.
     */
    expiresAt?: bigint,
  }
  /**
   * The reason that a token of the handler is rejected.
   * # Variants
   * 
   * ## `"malformed"`
   * 
   * Not in a format of this handler.
   * ## `"bad-signature"`
   * 
   * The signature does not match the key.
   * ## `"expired"`
   * 
   * The expiry has passed.
   * ## `"not-yet-valid"`
   * 
   * The start of its validity is in the future.
   * ## `"revoked"`
   * 
   * Revoked by its owner or the operator.
   * ## `"disabled"`
   * 
   * The operator's settings disable these tokens.
   * ## `"unknown"`
   * 
   * Well formed, but no such token exists.
   */
  export type Reason = 'malformed' | 'bad-signature' | 'expired' | 'not-yet-valid' | 'revoked' | 'disabled' | 'unknown';
  /**
   * A rejection of a token, with a sentence for the caller (truncated to 1,024 bytes).
   */
  export interface Rejection {
    reason: Reason,
    message: string,
  }
  /**
   * The three decisions about a token. A `failure` is none of them.
   */
  export type Verdict = VerdictAccepted | VerdictNotMine | VerdictRejected;
  /**
   * Valid, with the actor that it speaks for.
   */
  export interface VerdictAccepted {
    tag: 'accepted',
    val: Acceptance,
  }
  /**
   * Not a token of this handler.
   */
  export interface VerdictNotMine {
    tag: 'not-mine',
  }
  /**
   * An invalid token of this handler.
   */
  export interface VerdictRejected {
    tag: 'rejected',
    val: Rejection,
  }
  /**
   * No decision. The text is for the operator's log (truncated to 1,024 bytes), never for the
   * caller.
   */
  export type Failure = FailureUnavailable | FailureInternal;
  /**
   * A dependency of the handler does not respond; a later retry may help.
   */
  export interface FailureUnavailable {
    tag: 'unavailable',
    val: string,
  }
  /**
   * The handler is at fault.
   */
  export interface FailureInternal {
    tag: 'internal',
    val: string,
  }
  /**
   * The reason that `create` returned no token.
   */
  export type CreateError = CreateErrorDenied | CreateErrorFailed;
  /**
   * The request is refused. A retry changes nothing.
   */
  export interface CreateErrorDenied {
    tag: 'denied',
    val: CreateDenied,
  }
  /**
   * Undecided: something the handler needs does not work.
   */
  export interface CreateErrorFailed {
    tag: 'failed',
    val: Failure,
  }
}
