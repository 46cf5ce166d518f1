declare module 'keyward:handler/keys@0.1.0' {
  /**
   * Returns the signature over `message` by the ring's active key: 20 bytes with the scheme
   * `itsdangerous`, 32 with `hmac-sha256`, and with `raw-hmac-…` as many as the hash has.
   */
  export function sign(label: string, message: Uint8Array): Uint8Array;
  /**
   * Returns the id of the key with which `sign` signs during the whole call, and its algorithm:
   * the name in JWS (`HS256`, `HS384`, `HS512`), or otherwise that of the scheme. Works in `create`
   * only.
   */
  export function signingKey(label: string): [string, string];
  /**
   * Returns whether `signature` is the full-length signature of `message` by any key of the ring,
   * active or verify-only. Compared in constant time.
   */
  export function verify(label: string, message: Uint8Array, signature: Uint8Array): boolean;
  /**
   * # Variants
   * 
   * ## `"not-granted"`
   * 
   * The label is not granted to this handler, whether or not another handler has it.
   * ## `"not-permitted-now"`
   * 
   * The label is granted, but not for this operation in this phase: `sign` and `signing-key`
   * work in `create` only.
   */
  export type KeyError = 'not-granted' | 'not-permitted-now';
}
