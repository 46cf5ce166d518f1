"""Signed tokens: `my_PAYLOAD.SIGNATURE`, both parts in base64url.

The payload is a small JSON object: see payload.py. The signature is that of its base64url text, so
a token has exactly one spelling.

Import every module at the top: the component is a snapshot of the interpreter after these imports.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

import payload
from componentize_py_types import Err
from payload import Payload
from wit_world import exports
from wit_world.imports import clock, keys, random
from wit_world.imports.types import (
    Acceptance,
    Created,
    CreateDenied,
    CreateError_Denied,
    CreateError_Failed,
    CreateRequest,
    Denial,
    Failure_Internal,
    Reason,
    Rejection,
    Verdict,
    Verdict_Accepted,
    Verdict_NotMine,
    Verdict_Rejected,
)

# The beginning of every token. The operator lists it in `prefixes`.
PREFIX = "my_"

# The label of the key. The operator binds it to a key ring, and this handler never sees the key.
KEY = "token"


class TokenHandler(exports.TokenHandler):
    """Creates and verifies tokens. Each call gets a fresh instance: no state is kept.

    An exception that is not an `Err` aborts the call, and its traceback is in the operator's log.
    """

    def create(self, request: CreateRequest) -> Created:
        """Creates a token. Raises `Err` if the request is denied, or if there is no key."""
        new = Payload(
            actor=request.actor_id,
            issued_at=clock.now().seconds,
            lifetime=request.expires_after,
            restrictions=request.restrictions,
            id=encode(random.bytes(16)),
        )
        # The contract has no later time. These tokens carry everything else: refuse here what yours
        # cannot, instead of dropping it.
        if (new.expires_at or 0) > payload.LAST_SECOND:
            message = "the token would expire after the year 9999"
            raise Err(CreateError_Denied(CreateDenied(Denial.INVALID_REQUEST, message)))
        text = encode(payload.write(new))
        try:
            signature = keys.sign(KEY, text.encode())
        except Err as error:
            raise Err(CreateError_Failed(no_key(error))) from error
        return Created(f"{PREFIX}{text}.{encode(signature)}", token_id=new.id, expires_at=new.expires_at)

    def verify(self, token: str) -> Verdict:
        """Verifies a token. Raises `Err` if there is no key."""
        if not token.startswith(PREFIX):
            return Verdict_NotMine()
        try:
            text, signature_text = token.removeprefix(PREFIX).split(".")
            data, signature = decode(text), decode(signature_text)
        except ValueError:
            return rejected(Reason.MALFORMED, "Invalid token: wrong format")
        # Nothing is read from a payload that this handler did not sign.
        try:
            if not keys.verify(KEY, text.encode(), signature):
                return rejected(Reason.BAD_SIGNATURE, "Invalid token signature")
        except Err as error:
            raise Err(no_key(error)) from error
        try:
            found = payload.read(data)
        except ValueError:
            return rejected(Reason.MALFORMED, "Invalid token: wrong format")
        if found.expires_at is not None and clock.now().seconds > found.expires_at:
            return rejected(Reason.EXPIRED, "Token has expired")
        return Verdict_Accepted(
            Acceptance(
                actor=json.dumps({"id": found.actor}, ensure_ascii=False),
                restrictions=found.restrictions,
                token_id=found.id,
                issued_at=found.issued_at,
                expires_at=found.expires_at,
            )
        )


def rejected(reason: Reason, message: str) -> Verdict:
    """Returns a verdict with a sentence for the caller."""
    return Verdict_Rejected(Rejection(reason, message))


def no_key(error: Err) -> Failure_Internal:
    """Describes a missing key to the operator. It says nothing about the token: no verdict."""
    return Failure_Internal(f"the key `{KEY}`: {error.value.name}")


def encode(data: bytes) -> str:
    """Encodes in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Decodes base64url. Raises ValueError unless the text is the only spelling of its bytes."""
    # Python's decoder skips unknown characters and ignores unused bits, so compare.
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("not base64url in its only spelling")
    return data
