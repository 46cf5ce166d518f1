"""Makes Keyward the token handler of Datasette: `keyward serve` issues and verifies tokens.

Configured under `plugins.datasette-keyward`:

    url: address of the daemon, such as http://127.0.0.1:8787
    client, secret: credentials from the daemon's configuration
    handler: the Keyward handler that issues tokens; by default the first one
    first: true, the default, if Keyward issues and verifies before other plugins do, whatever their order; with false
        it comes after them, and still before Datasette's own handler
    timeout: seconds to wait for a response; 1 by default

Without this configuration, the plugin does nothing.

`Datasette.verify_token` raises `VerdictUnavailable` for a token on which Keyward gives no verdict, and another
`TokenInvalid` for a token that is invalid.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
import re
import time
import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from datasette import Response, TokenHandler, TokenInvalid, TokenRestrictions, hookimpl
from datasette.tokens import SignedTokenHandler
from datasette.utils import StartupError

from . import http

if TYPE_CHECKING:
    # Datasette loads its plugins while it imports this module.
    from datasette.app import Datasette

PLUGIN = "datasette-keyward"
NO_VERDICT = "No verdict on this token is available, try again later"
LOG_SECONDS = 60
logger = logging.getLogger("datasette_keyward")


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
    return unavailable_instead_of_unauthorized


class VerdictUnavailable(TokenInvalid):
    """No verdict on a token, which may be valid: Keyward is unreachable, broken or busy, or its handler failed.

    A subclass of `TokenInvalid`, because Datasette fails with a 500 for other exceptions. `retry_after` is in seconds.
    """

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(NO_VERDICT)
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of the plugin."""

    url: str
    client: str
    secret: str = dataclasses.field(repr=False)
    handler: str | None = None
    first: bool = True
    timeout: float = 1.0

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
        return config


class Outages:
    """Log lines about missing verdicts: the first one, then one a minute with their number, and the recovery."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: float | None = None
        self._unlogged = 0
        self._is_out = False

    def no_verdict(self, why: str) -> None:
        """Logs or counts a missing verdict."""
        now = self._clock()
        if self._logged_at is not None and now - self._logged_at < LOG_SECONDS:
            self._unlogged += 1
            return
        more = f" (and {self._unlogged} more since the last report)" if self._unlogged else ""
        logger.warning("No verdict from Keyward: %s%s", why, more)
        self._logged_at, self._unlogged, self._is_out = now, 0, True

    def verdict(self) -> None:
        """Logs that there is a verdict again, once after each report."""
        if self._is_out:
            logger.warning("Keyward gives verdicts again; %d more were missing in the meantime", self._unlogged)
            self._unlogged, self._is_out = 0, False


class KeywardTokenHandler(TokenHandler):
    """A token handler that calls the daemon."""

    name = "keyward"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outages = Outages()

    async def verify_token(self, datasette: Datasette, token: str) -> dict[str, Any] | None:
        """Returns the actor of a token, or None for a token of another handler.

        Raises VerdictUnavailable, or another TokenInvalid for an invalid token.
        """
        try:
            response = await self._client().post("/v1/verify", {"token": token}, repeat=True)
            answer = response.json() if response.status == 200 else None
        except Exception as error:
            # Never a valid token, and never "not mine", which would pass the token on to other handlers.
            raise self._no_verdict(describe(error)) from None
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
                raise self._no_verdict(describe_status(response), retry_after(response))
        self._outages.verdict()
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
            response = await self._client().post("/v1/tokens", request, repeat=False)
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
        if self._loop is asyncio.get_running_loop():
            self._connected.close()

    def _client(self) -> http.Client:
        # Connections belong to an event loop. A server has one; tests and commands have several in turn.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            origin, timeout = http.Origin.parse(self.config.url), self.config.timeout
            self._connected = http.Client(origin, user=self.config.client, secret=self.config.secret, timeout=timeout)
            self._loop = loop
        return self._connected

    def _no_verdict(self, why: str, retry_after: int = 1) -> VerdictUnavailable:
        """Reports a token without a verdict, and returns the error for it."""
        self._outages.no_verdict(why)
        if (found := _without_verdict.get()) is not None:
            found.append(retry_after)
        return VerdictUnavailable(retry_after)


_handlers: weakref.WeakKeyDictionary[Datasette, KeywardTokenHandler | None] = weakref.WeakKeyDictionary()


def handler_of(datasette: Datasette) -> KeywardTokenHandler | None:
    """Returns the handler of an instance, with its connections; None without configuration."""
    if datasette not in _handlers:
        given = datasette.plugin_config(PLUGIN)
        _handlers[datasette] = None if given is None else KeywardTokenHandler(Config.read(given))
    return _handlers[datasette]


# The retry delays of each request in flight whose token got no verdict.
_without_verdict: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("without_verdict", default=None)


def unavailable_instead_of_unauthorized(app: Any) -> Any:
    """Replaces Datasette's 401 for a rejected token by a 503 if there was no verdict.

    Clients then retry and do not discard their token.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        found: list[int] = []
        replaced = False

        async def send_or_replace(message: Any) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 401 and found:
                replaced = True
                dropped = (b"www-authenticate", b"content-length")
                headers = [(name, value) for name, value in message["headers"] if name.lower() not in dropped]
                headers.append((b"retry-after", str(found[0]).encode()))
                await send({**message, "status": 503, "headers": headers})
                await send({"type": "http.response.body", "body": Response.error(NO_VERDICT, 503).body.encode()})
            elif not replaced:
                await send(message)

        context = _without_verdict.set(found)
        try:
            await app(scope, receive, send_or_replace)
        finally:
            _without_verdict.reset(context)

    return wrapped


def wrong(what: str) -> StartupError:
    """Returns the error for a wrong setting."""
    return StartupError(f"plugins.{PLUGIN}: {what}")


def describe(error: Exception) -> str:
    """Describes a failed request without any of its contents."""
    return str(error) if isinstance(error, http.ExchangeError) else type(error).__name__


HINTS = {
    401: "; check `client` and `secret`",
    403: "; check what the client may do",
    421: "; check Keyward's `hosts`",
    429: "; check the client's `rate`",
}


def describe_status(response: http.Response) -> str:
    """Describes an unusable response: its status and, if the daemon sent one, its code."""
    try:
        code = response.json()["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        code = None
    known = f" ({code})" if isinstance(code, str) and re.fullmatch("[a-z_]{1,40}", code) else ""
    return f"status {response.status}{known}{HINTS.get(response.status, '')}"


def retry_after(response: http.Response) -> int:
    """Returns the seconds after which the daemon accepts a retry; 1 if it does not say."""
    given = response.headers.get("retry-after", "")
    return int(given) if re.fullmatch("[0-9]{1,4}", given) else 1
