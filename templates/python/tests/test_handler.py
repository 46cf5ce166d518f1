"""Tests of the handler, with fakes behind its imports."""

import json
import unittest
from typing import Optional
from unittest.mock import patch

import handler
from componentize_py_types import Err
from handler import encode
from wit_world.imports import clock, keys, random
from wit_world.imports.types import (
    Acceptance,
    CreateError_Denied,
    CreateError_Failed,
    CreateRequest,
    Failure_Internal,
    Reason,
    Restrictions,
    Verdict_Accepted,
    Verdict_NotMine,
    Verdict_Rejected,
)

NOW = 1_800_000_000
ID = "AAECAwQFBgcICQoLDA0ODw"


class HandlerTest(unittest.TestCase):
    """Runs the handler with a key whose "signature" is the message backwards."""

    def setUp(self) -> None:
        self.now = NOW
        fakes = [
            patch.object(clock, "now", lambda: clock.Datetime(self.now, 0)),
            patch.object(random, "bytes", lambda count: bytes(range(count))),
            patch.object(keys, "sign", lambda label, message: message[::-1]),
            patch.object(keys, "verify", lambda label, message, signature: message[::-1] == signature),
        ]
        for fake in fakes:
            fake.start()
            self.addCleanup(fake.stop)
        self.handler = handler.TokenHandler()

    def create(self, actor: str, lifetime: Optional[int] = None, restrictions: Optional[Restrictions] = None) -> str:
        return self.handler.create(CreateRequest(actor, lifetime, restrictions, None)).token

    def accepted(self, token: str) -> Acceptance:
        verdict = self.handler.verify(token)
        assert isinstance(verdict, Verdict_Accepted), verdict
        return verdict.value

    def assert_rejected(self, reason: Reason, token: str) -> None:
        verdict = self.handler.verify(token)
        assert isinstance(verdict, Verdict_Rejected), verdict
        self.assertEqual(verdict.value.reason, reason, token)

    def test_a_token_has_the_documented_form(self) -> None:
        created = self.handler.create(CreateRequest("ann", 60, None, None))
        self.assertEqual(created.token, signed('{"a":"ann","t":1800000000,"d":60,"j":"%s"}' % ID))
        self.assertEqual((created.token_id, created.expires_at), (ID, NOW + 60))

    def test_a_created_token_is_accepted_until_it_expires(self) -> None:
        actor = '"ann\\" <ü🙂>' + "[" * 100
        token = self.create(actor, 60)
        self.now = NOW + 60
        acceptance = self.accepted(token)
        self.assertEqual(json.loads(acceptance.actor), {"id": actor})
        self.assertEqual((acceptance.token_id, acceptance.issued_at, acceptance.expires_at), (ID, NOW, NOW + 60))
        self.now = NOW + 61
        self.assert_rejected(Reason.EXPIRED, token)

        endless = self.create("ann")
        self.now = NOW * 2
        self.assertIsNone(self.accepted(endless).expires_at)

    def test_restrictions_return_as_they_were_requested(self) -> None:
        full = Restrictions(
            all=["vi"],
            database=[("z", ["vd", "es"]), ("a", [])],
            resource=[("z", 't"2', ["vt"]), ("z", "t1", ["vt", "ir"])],
        )
        for restrictions in (None, Restrictions([], [], []), full):
            token = self.create("ann", None, restrictions)
            self.assertEqual(self.accepted(token).restrictions, restrictions)

    def test_every_other_spelling_is_rejected(self) -> None:
        start, signature = self.create("ann").split(".")
        self.assertEqual(self.handler.verify("Another-token"), Verdict_NotMine())
        for text in (
            *("my_", "my_a.b", "my_YQ", "my_YR.YQ", "my_YQ==.YQ", "my_Y Q.YQ", "my_Y\nQ.YQ", "my_YQ.YQ.YQ"),
            *("my_Y/.Y+", "my_é.YQ"),
        ):
            self.assert_rejected(Reason.MALFORMED, text)
        for text in (f"{start}.", f"my_YQ.{signature}", f"{start}.YQ"):
            self.assert_rejected(Reason.BAD_SIGNATURE, text)

    def test_a_signed_payload_of_another_shape_is_malformed(self) -> None:
        for payload in (
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
            '{"a":"ann","t":1800000000,"_r":{"d":{"db":["vd"],"db":[]}},"j":"x"}',
            r'{"a":"\ud800","t":1800000000,"j":"x"}',
            r'{"a":"ann","t":1800000000,"_r":{"d":{"\udc00":[]}},"j":"x"}',
            "[" * 100_000,
        ):
            self.assert_rejected(Reason.MALFORMED, signed(payload))

    def test_a_missing_key_is_a_failure_and_no_verdict(self) -> None:
        def missing(*_: object) -> bytes:
            raise Err(keys.KeyError.NOT_GRANTED)

        with patch.object(keys, "sign", missing), patch.object(keys, "verify", missing):
            with self.assertRaises(Err) as failed:
                self.create("ann")
            self.assertIsInstance(failed.exception.value, CreateError_Failed)
            with self.assertRaises(Err) as failed:
                self.handler.verify("my_YQ.YQ")
            self.assertIsInstance(failed.exception.value, Failure_Internal)

    def test_an_expiry_after_the_year_9999_is_denied(self) -> None:
        self.now = 253_402_300_799
        with self.assertRaises(Err) as denied:
            self.create("ann", 1)
        self.assertIsInstance(denied.exception.value, CreateError_Denied)


def signed(payload: str) -> str:
    """Returns a token with a valid signature over any payload."""
    text = encode(payload.encode())
    return f"my_{text}.{encode(text.encode()[::-1])}"
