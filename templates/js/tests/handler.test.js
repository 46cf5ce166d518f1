// Tests of the handler without WebAssembly, with fakes behind its imports: `npm test`.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { handler } from "../src/tokens.js";

const NOW = 1_800_000_000;
const ID = "AAECAwQFBgcICQoLDA0ODw";

// The fakes: a clock, the random bytes 0, 1, 2, …, and a key whose "signature" is the message
// backwards.
let now, hasKey;
const backwards = (message) => {
  // An error of an import is an exception with a payload.
  if (!hasKey) throw Object.assign(new Error("not-granted"), { payload: "not-granted" });
  return message.toReversed();
};
const { create, verify } = handler({
  clock: { now: () => ({ seconds: BigInt(now), nanoseconds: 0 }) },
  keys: {
    sign: (label, message) => backwards(message),
    verify: (label, message, signature) => Buffer.compare(backwards(message), signature) === 0,
  },
  random: { bytes: (count) => Uint8Array.from({ length: count }, (_, index) => index) },
});

beforeEach(() => {
  now = NOW;
  hasKey = true;
});

function accepted(token) {
  const verdict = verify(token);
  assert.equal(verdict.tag, "accepted");
  return verdict.val;
}

function assertRejected(reason, token) {
  const verdict = verify(token);
  assert.deepEqual([verdict.tag, verdict.val?.reason], ["rejected", reason], token);
}

/** Returns a token with a valid signature over any payload. */
function signed(payload) {
  const text = Buffer.from(payload).toString("base64url");
  return `my_${text}.${Buffer.from(text).reverse().toString("base64url")}`;
}

test("a token has the documented form", () => {
  assert.deepEqual(create({ actorId: "ann", expiresAfter: 60 }), {
    token: signed(`{"a":"ann","t":1800000000,"d":60,"j":"${ID}"}`),
    tokenId: ID,
    expiresAt: BigInt(NOW + 60),
  });
});

test("a created token is accepted until it expires", () => {
  const actorId = '"ann\\" <ü🙂>';
  const { token } = create({ actorId, expiresAfter: 60 });
  now = NOW + 60;
  const { actor, tokenId, issuedAt, expiresAt } = accepted(token);
  assert.deepEqual(JSON.parse(actor), { id: actorId });
  assert.deepEqual([tokenId, issuedAt, expiresAt], [ID, BigInt(NOW), BigInt(NOW + 60)]);
  now = NOW + 61;
  assertRejected("expired", token);

  const endless = create({ actorId: "ann" }).token;
  now = NOW * 2;
  assert.equal(accepted(endless).expiresAt, undefined);
});

test("restrictions return as they were requested", () => {
  const full = {
    all: ["vi"],
    database: [["z", ["vd", "es"]], ["__proto__", []]],
    resource: [["z", 't"2', ["vt"]], ["z", "t1", ["vt", "ir"]], ["__proto__", "__proto__", ["vt"]]],
  };
  for (const restrictions of [undefined, { all: [], database: [], resource: [] }, full]) {
    const { token } = create({ actorId: "ann", restrictions });
    assert.deepEqual(accepted(token).restrictions, restrictions);
  }
});

test("every other spelling is rejected", () => {
  const [start, signature] = create({ actorId: "ann" }).token.split(".");
  assert.deepEqual(verify("Another-token"), { tag: "not-mine" });
  for (const token of [
    "my_", "my_a.b", "my_YQ", "my_YR.YQ", "my_YQ==.YQ", "my_Y Q.YQ", "my_YQ\n.YQ", "my_YQ.YQ.YQ",
    "my_Y/.Y+", "my_é.YQ",
  ]) {
    assertRejected("malformed", token);
  }
  for (const token of [`${start}.`, `my_YQ.${signature}`, `${start}.YQ`]) assertRejected("bad-signature", token);
});

test("a signed payload of another shape is malformed", () => {
  for (const payload of [
    "",
    "[]",
    '{"a":"ann","t":1800000000}',
    '{"a":7,"t":1800000000,"j":"x"}',
    '{"a":"ann","t":1.5,"j":"x"}',
    '{"a":"ann","t":1800000000,"d":null,"j":"x"}',
    '{"a":"ann","t":1800000000,"_r":null,"j":"x"}',
    '{"a":"ann","t":1800000000,"_r":[],"j":"x"}',
    '{"a":"ann","t":1800000000,"_r":{"x":[]},"j":"x"}',
    '{"a":"ann","t":1800000000,"_r":{"d":["vi"]},"j":"x"}',
    '{"a":"ann","t":1800000000,"j":"x","new":true}',
    '{"a":"ann","t":1800000000,"d":4294967296,"j":"x"}',
    '{"a":"ann","t":253402300800,"j":"x"}',
    '{"a":"ann","t":253402300799,"d":1,"j":"x"}',
    '{"a":"ann","t":1800000000,"_r":{"d":{"\\ud800":["vd"]}},"j":"x"}',
    '{"a":"\\ud800","t":1800000000,"j":"x"}',
    '\u{feff}{"a":"ann","t":1800000000,"j":"x"}',
  ]) {
    assertRejected("malformed", signed(payload));
  }
});

test("a missing key is a failure and no verdict", () => {
  hasKey = false;
  const failure = { tag: "internal", val: "the key `token`: not-granted" };
  assert.throws(() => create({ actorId: "ann" }), { tag: "failed", val: failure });
  assert.throws(() => verify("my_YQ.YQ"), failure);
});

test("an expiry after the year 9999 is denied", () => {
  now = 253_402_300_799;
  assert.throws(() => create({ actorId: "ann", expiresAfter: 1 }), { tag: "denied" });
});
