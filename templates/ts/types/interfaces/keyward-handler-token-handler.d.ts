/// <reference path="./keyward-handler-types.d.ts" />
declare module 'keyward:handler/token-handler@0.1.0' {
  /**
   * Creates a token. Not called for a request that the host's own policy refuses.
   */
  export function create(request: CreateRequest): Created;
  /**
   * Verifies a token. Called only with text that starts with a prefix this handler claims (or that
   * no handler claims, for the one handler without prefixes), of at most 8,192 bytes by default.
   */
  export function verify(token: string): Verdict;
  export type CreateRequest = import('keyward:handler/types@0.1.0').CreateRequest;
  export type Created = import('keyward:handler/types@0.1.0').Created;
  export type CreateError = import('keyward:handler/types@0.1.0').CreateError;
  export type Verdict = import('keyward:handler/types@0.1.0').Verdict;
  export type Failure = import('keyward:handler/types@0.1.0').Failure;
}
