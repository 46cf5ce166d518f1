declare module 'keyward:handler/clock@0.1.0' {
  /**
   * Returns the same value for the whole call: a handler cannot measure its own time.
   */
  export function now(): Datetime;
  /**
   * Unix time: whole seconds and the nanoseconds of the next one (0 to 999,999,999).
   */
  export interface Datetime {
    seconds: bigint,
    nanoseconds: number,
  }
}
