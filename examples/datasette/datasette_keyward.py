"""Makes Keyward the token handler of Datasette: `keyward serve` issues and verifies tokens.

Configured under `plugins.datasette-keyward`:

    url: address of the daemon, such as http://127.0.0.1:8787
    client, secret: credentials from the daemon's configuration
    handler: the Keyward handler that issues tokens; by default the first one
    timeout: seconds to wait for a response; 1 by default

Without this configuration, the plugin does nothing.
"""

import asyncio
import contextvars
import dataclasses
import logging
import re
import weakref
from urllib.parse import urlsplit

import httpx2
from datasette import Response, TokenHandler, TokenInvalid, hookimpl
from datasette.utils import StartupError

PLUGIN = "datasette-keyward"
NO_VERDICT = "No verdict on this token is available, try again later"
logger = logging.getLogger("datasette_keyward")


@hookimpl(tryfirst=True)
def register_token_handler(datasette):
    # First, because Datasette's own handler claims `dstok_` as well and would accept tokens that Keyward rejects.
    return handler_of(datasette)


@hookimpl
def startup(datasette):
    handler_of(datasette)


@hookimpl
async def shutdown(datasette):
    if handler := handler_of(datasette):
        await handler.close()


@hookimpl
def asgi_wrapper(datasette):
    return unavailable_instead_of_unauthorized


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    url: str
    client: str
    secret: str = dataclasses.field(repr=False)
    handler: str | None = None
    timeout: float = 1.0

    @classmethod
    def read(cls, given):
        """Raises StartupError with a message that names the setting and never its value."""
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
        if not is_origin(config.url):
            raise wrong("url: must be of the form http://HOST:PORT")
        if not re.fullmatch("[A-Za-z0-9_-]+", config.client):
            raise wrong("client: must be an id of A-Z a-z 0-9 _ -")
        if not re.fullmatch("[A-Za-z0-9_-]{32,}", config.secret):
            raise wrong("secret: must be the one that `keyward client` generated, 32 or more of A-Z a-z 0-9 _ -")
        if not isinstance(config.handler, str | None):
            raise wrong("handler: must be the name of a handler in Keyward's configuration")
        if type(config.timeout) not in (int, float) or not 0 < config.timeout <= 60:
            raise wrong("timeout: must be a number of seconds, at most 60")
        return config


class KeywardTokenHandler(TokenHandler):
    name = "keyward"

    def __init__(self, config):
        self._config = config
        self._loop = self._client = None

    async def verify_token(self, datasette, token):
        try:
            response = await self._ask("/v1/verify", {"token": token}, repeat=True)
            answer = response.json() if response.status_code == 200 else None
        except Exception as error:
            # Never a valid token, and never "not mine", which would pass the token on to other handlers.
            raise no_verdict(describe(error)) from None
        match answer:
            case {"outcome": "accepted", "handler": str(handler), "actor": {**actor}} if actor:
                # Datasette uses this member to keep an actor that came from a token from creating tokens.
                return actor if actor.get("token") else {**actor, "token": handler}
            case {"outcome": "not-mine"}:
                return None
            case {"outcome": "rejected", "message": str(message)}:
                raise TokenInvalid(message)
        if response.status_code == 413:
            raise TokenInvalid("The token is too long")
        raise no_verdict(describe_status(response), retry_after(response))

    async def create_token(self, datasette, actor_id, *, expires_after=None, restrictions=None):
        request = {"actor": actor_id}
        # As in Datasette's own handler, 0 means no expiry, and empty restrictions mean none.
        if expires_after:
            request["expires_after"] = expires_after
        if restrictions and (restrictions.all or restrictions.database or restrictions.resource):
            request["restrictions"] = dataclasses.asdict(restrictions)
        if self._config.handler:
            request["handler"] = self._config.handler
        try:
            # A retry might issue a second token.
            response = await self._ask("/v1/tokens", request, repeat=False)
            answer = response.json()
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            raise RuntimeError(f"No token could be issued: {describe(error)}") from None
        match response.status_code, answer:
            case 201, {"token": str(token)}:
                return token
            case _, {"error": "invalid_request" | "access_denied" | "disabled", "error_description": str(description)}:
                raise ValueError(description)
        raise RuntimeError(f"No token could be issued: {describe_status(response)}")

    async def close(self):
        if self._loop is asyncio.get_running_loop():
            client, self._loop, self._client = self._client, None, None
            await client.aclose()

    async def _ask(self, path, body, *, repeat):
        async with asyncio.timeout(self._config.timeout):
            try:
                return await self._connected().post(path, json=body)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                # The daemon closed an idle connection just as it was reused.
                if not repeat:
                    raise
            return await self._connected().post(path, json=body)

    def _connected(self):
        # Connections belong to an event loop. A server has one; tests and commands have several in turn.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._client = httpx2.AsyncClient(
                base_url=self._config.url,
                auth=(self._config.client, self._config.secret),
                headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": PLUGIN},
                # One deadline covers everything.
                timeout=None,
                # Shorter than the keep-alive timeout of the daemon.
                limits=httpx2.Limits(max_connections=32, max_keepalive_connections=32, keepalive_expiry=5),
                follow_redirects=False,
                # Ignore proxies and passwords from the environment.
                trust_env=False,
            )
        return self._client


_handlers = weakref.WeakKeyDictionary()


def handler_of(datasette):
    """Returns the handler of an instance, with its connections; None without configuration."""
    if datasette not in _handlers:
        given = datasette.plugin_config(PLUGIN)
        _handlers[datasette] = None if given is None else KeywardTokenHandler(Config.read(given))
    return _handlers[datasette]


# The retry delays of each request in flight whose token got no verdict.
_without_verdict = contextvars.ContextVar("datasette_keyward_without_verdict", default=None)


def no_verdict(why, retry_after=1):
    """Returns the error for a token without a verdict, which Datasette rejects like an invalid one."""
    logger.warning("No verdict from Keyward: %s", why)
    if (found := _without_verdict.get()) is not None:
        found.append(retry_after)
    return TokenInvalid(NO_VERDICT)


def unavailable_instead_of_unauthorized(app):
    """Replaces Datasette's 401 for a rejected token by a 503 if there was no verdict, so that clients
    retry and do not discard their token."""

    async def wrapped(scope, receive, send):
        found, replaced = [], False

        async def send_or_replace(message):
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


def is_origin(url):
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        return False
    return known and not (parts.username or parts.path.strip("/") or parts.query or parts.fragment)


def wrong(what):
    return StartupError(f"plugins.{PLUGIN}: {what}")


def describe(error):
    """Describes a failed request without any of its contents."""
    return f"{type(error).__name__}: {error}" if isinstance(error, httpx2.TransportError) else type(error).__name__


HINTS = {
    401: "; check `client` and `secret`",
    403: "; check what the client may do",
    421: "; check Keyward's `hosts`",
}


def describe_status(response):
    """Describes an unusable response: its status and, if the daemon sent one, its code."""
    try:
        code = response.json()["error"]
    except (ValueError, TypeError, KeyError):
        code = None
    known = f" ({code})" if isinstance(code, str) and re.fullmatch("[a-z_]{1,40}", code) else ""
    return f"status {response.status_code}{known}{HINTS.get(response.status_code, '')}"


def retry_after(response):
    given = response.headers.get("retry-after", "")
    return int(given) if re.fullmatch("[0-9]{1,4}", given) else 1
