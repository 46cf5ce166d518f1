// The payload of a token: `{"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}`.

/** The last second of the year 9999, and of the contract. */
export const LAST_SECOND = 253_402_300_799;

/** The longest lifetime of the contract, in seconds. */
const LONGEST = 2 ** 32 - 1;

/**
 * Writes a payload as compact JSON. Times are in seconds. Restrictions that are undefined leave the
 * actor its own rights; an empty allow-list allows nothing.
 */
export function writePayload({ actorId, issuedAt, lifetime, restrictions, id }) {
  // JSON has no `undefined`: such a member is omitted.
  const members = { a: actorId, t: issuedAt, d: lifetime, _r: restrictions && allowList(restrictions), j: id };
  return new TextEncoder().encode(JSON.stringify(members));
}

/**
 * Reads a payload, or returns undefined if it has another shape. An unknown member could be a
 * condition, so a payload with one is invalid. Of members with one name, the last counts, as
 * `JSON.parse` has it.
 */
export function readPayload(bytes) {
  try {
    const members = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
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

/**
 * Returns restrictions in Datasette's form, `{"a":[…],"d":{db:[…]},"r":{db:{resource:[…]}}}`,
 * without empty members.
 */
function allowList({ all, database, resource }) {
  // A map, because a name could be `__proto__`.
  const resources = new Map();
  for (const [database, name, actions] of resource) {
    resources.set(database, [...(resources.get(database) ?? []), [name, actions]]);
  }
  const byDatabase = [...resources].map(([database, entries]) => [database, Object.fromEntries(entries)]);
  return {
    a: all.length > 0 ? all : undefined,
    d: database.length > 0 ? Object.fromEntries(database) : undefined,
    r: byDatabase.length > 0 ? Object.fromEntries(byDatabase) : undefined,
  };
}

/** Reads restrictions in Datasette's form. Throws a TypeError if they have another shape. */
function restrictions(value) {
  const { a = [], d = {}, r = {}, ...others } = object(value);
  expectNone(others);
  return {
    all: texts(a),
    database: Object.entries(object(d)).map(([database, actions]) => [text(database), texts(actions)]),
    resource: Object.entries(object(r)).flatMap(([database, resources]) =>
      Object.entries(object(resources)).map(([resource, actions]) => [text(database), text(resource), texts(actions)]),
    ),
  };
}

function object(value) {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TypeError("not an object");
}

function text(value) {
  // An escape may be half of a surrogate pair, which is not text.
  if (typeof value === "string" && value.isWellFormed()) return value;
  throw new TypeError("not a text");
}

function texts(value) {
  if (Array.isArray(value)) return value.map(text);
  throw new TypeError("not a list");
}

function seconds(value, maximum) {
  if (Number.isInteger(value) && value >= 0 && value <= maximum) return value;
  throw new TypeError("not a number of seconds");
}

function expectNone(others) {
  if (Object.keys(others).length > 0) throw new TypeError("unknown members");
}
