declare module 'keyward:handler/settings@0.1.0' {
  /**
   * Returns the value of the setting as JSON text, or `none` if the operator did not set it. A
   * handler declares its settings in the custom section `keyward:settings`, one `name: type` per
   * line: at most 256, each name 1 to 64 characters of `A-Z a-z 0-9 . _ -`, each type `bool`,
   * `u64`, `text` or `json`. The host refuses a configuration with others, or with a value of
   * another type.
   */
  export function get(name: string): string | undefined;
}
