"""A plugin for the test of Datasette: another token handler, and pages that create tokens and cookies."""

from datasette import Response, TokenHandler, TokenRestrictions, hookimpl


class Other(TokenHandler):
    name = "other"

    async def verify_token(self, datasette, token):
        return {"id": "of another handler"} if token == "other_token" else None


@hookimpl
def register_token_handler(datasette):
    return Other()


@hookimpl
def register_routes():
    return [(r"^/-/test-token$", token), (r"^/-/test-cookie$", cookie)]


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
