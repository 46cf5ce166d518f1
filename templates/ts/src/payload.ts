// The payload of a token: `{"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}`.

import type { Restrictions } from "keyward:handler/types@0.1.0";

/** The last second of the year 9999, and of the contract. */
export const LAST_SECOND = 253_402_300_799;

/** The longest lifetime of the contract, in seconds. */
const LONGEST = 2 ** 32 - 1;

/** What a token says. */
export interface Payload {
  actorId: string;
  /** In Unix seconds. */
  issuedAt: number;
  /** In seconds; undefined: never expires. */
  lifetime: number | undefined;
  /** Undefined leaves the actor its own rights; an empty allow-list allows nothing. */
  restrictions: Restrictions | undefined;
  /** A random name, for revocation and audit. */
  id: string;
}

/** Writes a payload as compact JSON. */
export function writePayload({ actorId, issuedAt, lifetime, restrictions, id }: Payload): Uint8Array {
  // JSON has no `undefined`: such a member is omitted.
  const members = { a: actorId, t: issuedAt, d: lifetime, _r: restrictions && allowList(restrictions), j: id };
  return new TextEncoder().encode(JSON.stringify(members));
}

/**
 * Reads a payload, or returns undefined if it has another shape. An unknown member could be a
 * condition, so a payload with one is invalid. Of members with one name, the last counts, as
 * `JSON.parse` has it.
 */
export function readPayload(bytes: Uint8Array): Payload | undefined {
  try {
    const members: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    const { a, t, d, _r, j, ...others } = object(members);
    expectNone(others);
    const issuedAt = seconds(t, LAST_SECOND);
    return {
      actorId: text(a),
      issuedAt,
      // `null` is not the same as an absent member: it must not mean "no restrictions".
      lifetime: d === undefined ? undefined : seconds(d, Math.min(LONGEST, LAST_SECOND - issuedAt)),
      restrictions: _r === undefined ? undefined : restrictions(_r),
      id: text(j),
    };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Restrictions in Datasette's form, without empty members. */
interface AllowList {
  a?: string[];
  d?: Record<string, string[]>;
  r?: Record<string, Record<string, string[]>>;
}

function allowList({ all, database, resource }: Restrictions): AllowList {
  // A map, because a name could be `__proto__`.
  const resources = new Map<string, [string, string[]][]>();
  for (const [database, name, actions] of resource) {
    resources.set(database, [...(resources.get(database) ?? []), [name, actions]]);
  }
  const byDatabase = [...resources].map(([database, entries]) => [database, Object.fromEntries(entries)] as const);
  return {
    a: all.length > 0 ? all : undefined,
    d: database.length > 0 ? Object.fromEntries(database) : undefined,
    r: byDatabase.length > 0 ? Object.fromEntries(byDatabase) : undefined,
  };
}

/** Reads restrictions in Datasette's form. Throws a TypeError if they have another shape. */
function restrictions(value: unknown): Restrictions {
  const { a = [], d = {}, r = {}, ...others } = object(value);
  expectNone(others);
  return {
    all: texts(a),
    database: Object.entries(object(d)).map(([database, actions]) => [text(database), texts(actions)]),
    resource: Object.entries(object(r)).flatMap(([database, resources]) =>
      Object.entries(object(resources)).map(
        ([resource, actions]): [string, string, string[]] => [text(database), text(resource), texts(actions)],
      ),
    ),
  };
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new TypeError("not an object");
}

function text(value: unknown): string {
  // An escape may be half of a surrogate pair, which is not text.
  if (typeof value === "string" && value.isWellFormed()) return value;
  throw new TypeError("not a text");
}

function texts(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(text);
  throw new TypeError("not a list");
}

function seconds(value: unknown, maximum: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maximum) return value;
  throw new TypeError("not a number of seconds");
}

function expectNone(others: object): void {
  if (Object.keys(others).length > 0) throw new TypeError("unknown members");
}
