"""A plugin for the test of Datasette: another token handler, and pages that create tokens and cookies."""

import base64
import json
import time
import zlib

import itsdangerous
from datasette import Response, TokenHandler, TokenRestrictions, hookimpl
from datasette.tokens import SignedTokenHandler


class Other(TokenHandler):
    name = "other"

    async def verify_token(self, datasette, token):
        return {"id": "of another handler"} if token == "other_token" else None


@hookimpl
def register_token_handler(datasette):
    return Other()


@hookimpl
def register_routes():
    return [(r"^/-/test-token$", token), (r"^/-/test-cookie$", cookie), (r"^/-/test-odd-tokens$", odd_tokens)]


async def token(datasette, request):
    """Returns a token that `Datasette.create_token` creates with the first handler."""
    restrictions = TokenRestrictions().allow_resource("shop", "orders", "view-table")
    try:
        expires_after = int(request.args["expires_after"])
        return Response.text(await datasette.create_token("cid", expires_after=expires_after, restrictions=restrictions))
    except ValueError as error:
        return Response.text(str(error), status=400)


async def cookie(datasette, request):
    """Returns the cookie of a logged-in actor."""
    return Response.text(datasette.sign({"a": {"id": "dora"}}, "actor"))


async def odd_tokens(datasette):
    """Returns tokens with the secret of Datasette that its own handler accepts, and whether Keyward does."""
    now = int(time.time())
    last_second = 253402300799

    def payload(**members):
        return json.dumps({"a": "ann", "t": now, **members}, separators=(",", ":"), ensure_ascii=False).encode()

    def nested(levels):
        return payload(x=0).replace(b"0}", b"[" * (levels - 1) + b"]" * (levels - 1) + b"}")

    def inflated(size):
        return zlib.compress(payload(x="x" * (size - len(payload(x="")))))

    rows = [
        # The name, the bytes, whether they are compressed, and whether Keyward accepts the token.
        ("no lifetime", payload(d=None), False, True),
        ("a boolean lifetime", payload(d=False), False, False),
        ("a boolean issue time", payload(t=True), False, False),
        ("an end in the year 9999", payload(d=last_second - now), False, True),
        ("an end after the year 9999", payload(d=last_second + 1 - now), False, False),
        ("64 levels", nested(64), False, True),
        ("65 levels", nested(65), False, False),
        ("64 KiB inflated", inflated(65536), True, True),
        ("more than 64 KiB inflated", inflated(65537), True, False),
        ("no bytes after zlib's", zlib.compress(payload()), True, True),
        ("bytes after zlib's", zlib.compress(payload()) + b"\0", True, False),
        ("an actor id of 1,024 bytes", payload(a="\u00e9" * 512), False, True),
        ("an actor id of more than 1,024 bytes", payload(a="\u00e9" * 512 + "e"), False, False),
        ("an actor id of 64 bits", payload(a=2**64 - 1), False, True),
        ("an actor id of 65 bits", payload(a=2**64), False, False),
    ]
    signer = itsdangerous.Signer(datasette._secret, "token")
    tokens = []
    for name, raw, is_compressed, is_accepted in rows:
        value = b"." * is_compressed + base64.urlsafe_b64encode(raw).rstrip(b"=")
        made = "dstok_" + signer.sign(value).decode()
        assert (await SignedTokenHandler().verify_token(datasette, made))["token"] == "dstok", name
        tokens.append({"name": name, "token": made, "is_accepted": is_accepted})
    return Response.json(tokens)
