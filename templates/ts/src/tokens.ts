// Signed tokens: `my_PAYLOAD.SIGNATURE`, both parts in base64url.
//
// The payload is a small JSON object: see payload.ts. The signature is that of its base64url text, so
// a token has exactly one spelling.
//
// Time and randomness come from the imports only, so that tests can replace them.

import type * as Clock from "keyward:handler/clock@0.1.0";
import type * as Keys from "keyward:handler/keys@0.1.0";
import type * as Random from "keyward:handler/random@0.1.0";
import type * as TokenHandler from "keyward:handler/token-handler@0.1.0";
import type {
  Created, CreateError, CreateRequest, Failure, Reason, Verdict,
} from "keyward:handler/types@0.1.0";

import { LAST_SECOND, readPayload, writePayload } from "./payload.js";

/** What this handler imports. */
export interface Imports {
  clock: Pick<typeof Clock, "now">;
  keys: Pick<typeof Keys, "sign" | "verify">;
  random: Pick<typeof Random, "bytes">;
}

/** The beginning of every token. The operator lists it in `prefixes`. */
const PREFIX = "my_";

/** The label of the key. The operator binds it to a key ring; this handler never sees the key. */
const KEY = "token";

/**
 * Returns the two functions of a handler with these imports.
 *
 * Each call gets a fresh instance: no state is kept. An error is thrown as the value that the
 * contract defines; any other exception aborts the call, and its message is in the operator's log.
 */
export const handler = ({ clock, keys, random }: Imports): typeof TokenHandler => ({
  /** Creates a token. Throws a `CreateError`. */
  create({ actorId, expiresAfter, restrictions }: CreateRequest): Created {
    const issuedAt = Number(clock.now().seconds);
    const expiresAt = expiresAfter === undefined ? undefined : issuedAt + expiresAfter;
    // The contract has no later time. These tokens carry everything else: refuse here what yours
    // cannot, instead of dropping it.
    if (expiresAt !== undefined && expiresAt > LAST_SECOND) {
      const message = "the token would expire after the year 9999";
      throw { tag: "denied", val: { denial: "invalid-request", message } } satisfies CreateError;
    }
    const id = encode(random.bytes(16));
    const text = encode(writePayload({ actorId, issuedAt, lifetime: expiresAfter, restrictions, id }));
    let signature: Uint8Array;
    try {
      signature = keys.sign(KEY, ascii(text));
    } catch (error) {
      throw { tag: "failed", val: noKey(error) } satisfies CreateError;
    }
    return { token: `${PREFIX}${text}.${encode(signature)}`, tokenId: id, expiresAt: bigint(expiresAt) };
  },

  /** Verifies a token. Throws a `Failure`. */
  verify(token: string): Verdict {
    if (!token.startsWith(PREFIX)) return { tag: "not-mine" };
    const [text = "", signatureText, ...others] = token.slice(PREFIX.length).split(".");
    const json = decode(text);
    const signature = decode(signatureText);
    if (!json || !signature || others.length > 0) return rejected("malformed", "Invalid token: wrong format");
    // Nothing is read from a payload that this handler did not sign.
    let isSigned: boolean;
    try {
      isSigned = keys.verify(KEY, ascii(text), signature);
    } catch (error) {
      throw noKey(error);
    }
    if (!isSigned) return rejected("bad-signature", "Invalid token signature");
    const payload = readPayload(json);
    if (!payload) return rejected("malformed", "Invalid token: wrong format");
    const { actorId, issuedAt, lifetime, restrictions, id } = payload;
    // The last second in which the token is valid.
    const expiresAt = lifetime === undefined ? undefined : issuedAt + lifetime;
    if (expiresAt !== undefined && Number(clock.now().seconds) > expiresAt) {
      return rejected("expired", "Token has expired");
    }
    return {
      tag: "accepted",
      val: {
        actor: JSON.stringify({ id: actorId }),
        restrictions,
        tokenId: id,
        issuedAt: BigInt(issuedAt),
        expiresAt: bigint(expiresAt),
      },
    };
  },
});

/** Returns a verdict with a sentence for the caller. */
function rejected(reason: Reason, message: string): Verdict {
  return { tag: "rejected", val: { reason, message } };
}

/** Describes a missing key to the operator. It says nothing about the token: no verdict. */
function noKey(error: unknown): Failure {
  const { payload } = error as { payload?: Keys.KeyError };
  return { tag: "internal", val: `the key \`${KEY}\`: ${payload ?? error}` };
}

/** Returns the `u64` of the contract. Until the year 9999, a number holds a time exactly. */
function bigint(seconds: number | undefined): bigint | undefined {
  return seconds === undefined ? undefined : BigInt(seconds);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Encodes bytes in base64url without padding. */
function encode(bytes: Uint8Array): string {
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decodes base64url, or returns undefined unless the text is the only spelling of its bytes. */
function decode(text: string | undefined): Uint8Array | undefined {
  if (text === undefined || !/^[\w-]*$/.test(text) || text.length % 4 === 1) return undefined;
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  // `atob` ignores unused bits, so compare.
  return encode(bytes) === text ? bytes : undefined;
}
