declare module 'keyward:handler/random@0.1.0' {
  /**
   * Returns `count` unpredictable bytes; more than 65,536 at once traps.
   */
  export function bytes(count: number): Uint8Array;
}
