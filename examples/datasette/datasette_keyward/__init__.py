"""Makes Keyward the token handler of Datasette: `keyward serve` issues and verifies tokens.

Configured under `plugins.datasette-keyward`:

    url: address of the daemon, such as http://127.0.0.1:8787
    client, secret: credentials from the daemon's configuration
    handler: the Keyward handler that issues tokens; by default the first one
    first: true, the default, if Keyward issues and verifies before other plugins do, whatever their order; with false
        it comes after them, and still before Datasette's own handler
    timeout: seconds to wait for a response; 1 by default
    session: the Keyward handler that knows users by the cookies of another site; by default none
    session_cookies: names of the cookies that it is sent
    session_headers: names of headers that it is sent; by default none
    pages: address of Keyward's pages, such as https://tokens.example.org/tokens, for a link in the menu; by default none

Browsers send cookies with forged requests too: Datasette refuses forged requests before it asks who the user is, by
their method, `Sec-Fetch-Site` and `Origin`, whatever cookies they have.

Without this configuration, the plugin does nothing.

`Datasette.verify_token` raises `VerdictUnavailable` for a token on which Keyward gives no verdict, and another
`TokenInvalid` for a token that is invalid.
"""

from __future__ import annotations

import dataclasses
import re
import weakref
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from datasette import Request, Response, TokenHandler, TokenInvalid, TokenRestrictions, hookimpl
from datasette.tokens import SignedTokenHandler
from datasette.utils import StartupError

from . import http, sessions
from .daemon import (
    Daemon,
    SessionUnavailable,
    VerdictUnavailable,
    describe,
    describe_status,
    retry_after,
    without_verdict,
)

if TYPE_CHECKING:
    # Datasette loads its plugins while it imports this module.
    from datasette.app import Datasette

__all__ = ["Config", "KeywardTokenHandler", "SessionUnavailable", "VerdictUnavailable"]

PLUGIN = "datasette-keyward"


@hookimpl(wrapper=True, tryfirst=True)
def register_token_handler(datasette: Datasette) -> Generator[None, list[Any], list[Any]]:
    """Inserts Keyward's handler into those of the other plugins, whatever order they are registered in."""
    handler = handler_of(datasette)
    others = yield
    if not handler:
        return others
    # Always before Datasette's own handler, which claims `dstok_` as well and would accept tokens that Keyward rejects.
    own = (index for index, other in enumerate(others) if isinstance(other, SignedTokenHandler))
    index = 0 if handler.config.first else next(own, len(others))
    return [*others[:index], handler, *others[index:]]


@hookimpl(wrapper=True, tryfirst=True)
def actor_from_request(datasette: Datasette, request: Request) -> Generator[None, list[Any], list[Any]]:
    """Identifies a user by the cookies of another site, if neither Datasette nor another plugin does."""
    others = yield
    handler = handler_of(datasette)
    known = handler and handler.sessions
    if not known or not (body := known.body_for(datasette, request)):
        return others
    return sessions.with_last(others, lambda: known.identify(body))


@hookimpl
def menu_links(datasette: Datasette, actor: dict[str, Any] | None) -> list[dict[str, str]]:
    """Adds Keyward's pages to the menu of users who are signed in without a token."""
    handler = handler_of(datasette)
    if not handler or not handler.config.pages or not actor or actor.get("token"):
        return []
    return [{"href": handler.config.pages, "label": "API tokens"}]


@hookimpl
def startup(datasette: Datasette) -> None:
    """Refuses a wrong configuration."""
    handler_of(datasette)


@hookimpl
async def shutdown(datasette: Datasette) -> None:
    """Closes the connections."""
    if handler := handler_of(datasette):
        handler.close()


@hookimpl
def asgi_wrapper(datasette: Datasette) -> Callable[[Any], Any]:
    """Returns the wrapper that responds with a 503 if there is no verdict."""
    return lambda app: unavailable_instead_of_unauthorized(datasette, app)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of the plugin."""

    url: str
    client: str
    secret: str = dataclasses.field(repr=False)
    handler: str | None = None
    first: bool = True
    timeout: float = 1.0
    session: str | None = None
    session_cookies: Sequence[str] = ()
    session_headers: Sequence[str] = ()
    pages: str | None = None

    @classmethod
    def read(cls, given: Any) -> Config:
        """Checks the settings.

        Raises StartupError with a message that names the setting and never its value.
        """
        if not isinstance(given, dict):
            raise wrong("must be a mapping of settings")
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise wrong(f"{name}: is not one of {', '.join(known)}")
        for name in ("url", "client", "secret"):
            if not isinstance(given.get(name), str):
                raise wrong(f"{name}: must be a string; is its environment variable set?")
        # Files end with a newline.
        config = cls(**{**given, "secret": given["secret"].removesuffix("\n")})
        try:
            http.Origin.parse(config.url)
        except ValueError:
            raise wrong("url: must be of the form http://HOST:PORT") from None
        if not re.fullmatch("[A-Za-z0-9_-]+", config.client):
            raise wrong("client: must be an id of A-Z a-z 0-9 _ -")
        if not re.fullmatch("[A-Za-z0-9_-]{32,}", config.secret):
            raise wrong("secret: must be the one that `keyward client` generated, 32 or more of A-Z a-z 0-9 _ -")
        if not isinstance(config.handler, str | None):
            raise wrong("handler: must be the name of a handler in Keyward's configuration")
        if not isinstance(config.first, bool):
            raise wrong("first: must be true or false")
        if type(config.timeout) not in (int, float) or not 0 < config.timeout <= 60:
            raise wrong("timeout: must be a number of seconds, at most 60")
        if config.pages is not None and not re.fullmatch(r"https?://[^\s?#]+", str(config.pages)):
            raise wrong("pages: must be of the form https://HOST/tokens")
        try:
            sessions.check(config.session, config.session_cookies, config.session_headers)
        except ValueError as error:
            raise wrong(str(error)) from None
        return config


class KeywardTokenHandler(TokenHandler):
    """A token handler that calls the daemon."""

    name = "keyward"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sessions = sessions.Sessions(config) if config.session else None
        self._daemon = Daemon(config, VerdictUnavailable)

    async def verify_token(self, datasette: Datasette, token: str) -> dict[str, Any] | None:
        """Returns the actor of a token, or None for a token of another handler.

        Raises VerdictUnavailable, or another TokenInvalid for an invalid token.
        """
        # An error is never a valid token, and never "not mine", which would pass the token on to other handlers.
        response, answer = await self._daemon.ask("/v1/verify", {"token": token})
        verdict: Any
        match response.status, answer:
            case 200, {"outcome": "accepted", "handler": str(handler), "actor": {**actor}} if actor:
                # Datasette uses this member to keep an actor that came from a token from creating tokens.
                verdict = actor if actor.get("token") else {**actor, "token": handler}
            case 200, {"outcome": "not-mine"}:
                verdict = None
            case 200, {"outcome": "rejected", "message": str(message)}:
                verdict = TokenInvalid(message)
            case 413, _:
                verdict = TokenInvalid("The token is too long")
            case _:
                raise self._daemon.no_verdict(describe_status(response), retry_after(response))
        self._daemon.verdict()
        if isinstance(verdict, TokenInvalid):
            raise verdict
        return verdict

    async def create_token(
        self,
        datasette: Datasette,
        actor_id: str,
        *,
        expires_after: int | None = None,
        restrictions: TokenRestrictions | None = None,
    ) -> str:
        """Returns a token that Keyward issues.

        Raises ValueError if Keyward denies it, and RuntimeError if Keyward is unavailable.
        """
        request: dict[str, Any] = {"actor": actor_id}
        # As in Datasette's own handler, 0 means no expiry, and empty restrictions mean none.
        if expires_after:
            request["expires_after"] = expires_after
        if restrictions and (restrictions.all or restrictions.database or restrictions.resource):
            request["restrictions"] = dataclasses.asdict(restrictions)
        if self.config.handler:
            request["handler"] = self.config.handler
        try:
            # A retry might issue a second token.
            response = await self._daemon.client().post("/v1/tokens", request, repeat=False)
            answer = response.json()
        except (http.ExchangeError, ValueError) as error:
            raise RuntimeError(f"No token could be issued: {describe(error)}") from None
        match response.status, answer:
            case 201, {"token": str(token)}:
                return token
            case _, {"error": "invalid_request" | "access_denied" | "disabled", "error_description": str(description)}:
                raise ValueError(description)
        raise RuntimeError(f"No token could be issued: {describe_status(response)}")

    def close(self) -> None:
        """Closes the connections of this event loop."""
        self._daemon.close()
        if self.sessions:
            self.sessions.close()


_handlers: weakref.WeakKeyDictionary[Datasette, KeywardTokenHandler | None] = weakref.WeakKeyDictionary()


def handler_of(datasette: Datasette) -> KeywardTokenHandler | None:
    """Returns the handler of an instance, with its connections; None without configuration."""
    if datasette not in _handlers:
        given = datasette.plugin_config(PLUGIN)
        _handlers[datasette] = None if given is None else KeywardTokenHandler(Config.read(given))
    return _handlers[datasette]


def unavailable_instead_of_unauthorized(datasette: Datasette, app: Any) -> Any:
    """Replaces Datasette's 401 by a 503 if there was no verdict.

    Clients then retry and do not discard their token.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        found: list[VerdictUnavailable] = []
        replaced = False

        async def send_or_replace(message: Any) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 401 and found:
                replaced = True
                response = await unavailable(datasette, scope, found[0])
                dropped = (b"www-authenticate", b"content-length", b"content-type")
                headers = [(name, value) for name, value in message["headers"] if name.lower() not in dropped]
                headers.append((b"content-type", response.content_type.encode()))
                headers.append((b"retry-after", str(found[0].retry_after).encode()))
                await send({**message, "status": 503, "headers": headers})
                await send({"type": "http.response.body", "body": response.body.encode()})
            elif not replaced:
                await send(message)

        context = without_verdict.set(found)
        try:
            await app(scope, receive, send_or_replace)
        finally:
            without_verdict.reset(context)

    return wrapped


async def unavailable(datasette: Datasette, scope: Any, error: VerdictUnavailable) -> Response:
    """Returns the 503: a page if a browser asks for one with its cookies, and otherwise JSON."""
    request = Request(scope, None)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.path.endswith(".json")
    if not isinstance(error, SessionUnavailable) or not wants_page:
        return Response.error(error.message, 503)
    context = {"status": 503, "error": error.message}
    return Response.html(await datasette.render_template(["503.html", "error.html"], context), 503)


def wrong(what: str) -> StartupError:
    """Returns the error for a wrong setting."""
    return StartupError(f"plugins.{PLUGIN}: {what}")
