declare module 'keyward:handler/digest@0.1.0' {
  /**
   * Returns the SHA-256 (FIPS 180-4) of the data: 32 bytes. It has no key: to authenticate, use
   * `keys`.
   */
  export function sha256(data: Uint8Array): Uint8Array;
}
