declare module 'keyward:handler/log@0.1.0' {
  /**
   * Writes one line: escaped to printable characters, truncated to 1,024 bytes; lines after the
   * 50th of a call are counted and dropped. Never write a token.
   */
  export function write(level: Level, message: string): void;
  /**
   * # Variants
   * 
   * ## `"debug"`
   * 
   * ## `"info"`
   * 
   * ## `"warn"`
   * 
   * ## `"error"`
   */
  export type Level = 'debug' | 'info' | 'warn' | 'error';
}
