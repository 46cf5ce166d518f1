"""Users whom another site knows by their cookies, identified by a session handler of Keyward."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from datasette import Request, TokenInvalid
from datasette.utils import await_me_maybe

from .daemon import Daemon, SessionUnavailable, describe_status, retry_after

if TYPE_CHECKING:
    from datasette.app import Datasette

    from . import Config

# RFC 6265 section 4.1.1, RFC 9110 section 5.1.
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
METHOD = re.compile(r"[A-Z-]{1,32}")
# What a path may contain without being encoded, apart from letters, digits and `_.-~` (RFC 3986 section 3.3).
PATH_SAFE = "/%:@!$&'()*+,;="

REFUSED_COOKIES = {
    "ds_actor": "is Datasette's own cookie, which takes precedence and is never sent to Keyward",
    "ds_csrftoken": "is that of the forms of earlier versions of Datasette, and identifies no user",
}
REFUSED_HEADERS = {
    "authorization": "may have a bearer token, which cookies never follow",
    "cookie": "has all cookies; list those to send in `session_cookies`",
}


def check(session: Any, cookies: Any, headers: Any) -> None:
    """Checks the settings.

    Raises ValueError with a message that names the setting.
    """
    if session is None:
        if cookies or headers:
            raise ValueError("session: must be set if there are `session_cookies` or `session_headers`")
        return
    if not isinstance(session, str) or not session:
        raise ValueError("session: must be the name of a session handler in Keyward's configuration")
    check_names("session_cookies", cookies, REFUSED_COOKIES)
    check_names("session_headers", headers, REFUSED_HEADERS)
    if not cookies:
        raise ValueError("session_cookies: must name at least one cookie")


def check_names(setting: str, names: Any, refused: Mapping[str, str]) -> None:
    """Raises ValueError unless `names` are names of cookies or headers, and none of them is refused."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise ValueError(f"{setting}: must be a list of names")
    for name in names:
        if reason := refused.get(name.lower()):
            raise ValueError(f"{setting}: {name} {reason}")


class Sessions:
    """The users that a session handler of Keyward knows."""

    def __init__(self, config: Config) -> None:
        # With connections of its own, so that a slow site does not delay requests with a token.
        self._daemon = Daemon(config, SessionUnavailable)
        self._config = config

    def body_for(self, datasette: Datasette, request: Request) -> dict[str, Any] | None:
        """Returns what Keyward is sent of a request, or None if nothing in it may identify a user."""
        # Keyward refuses what is malformed, and Datasette has no page for it.
        if request.scope["type"] != "http" or not METHOD.fullmatch(request.method) or not request.path.startswith("/"):
            return None
        # A token, valid or not, is never followed by cookies.
        if any(value.lower().split()[:1] == ["bearer"] for value in header_values(request, "authorization")):
            return None
        pairs = (pair.partition("=") for pair in ";".join(header_values(request, "cookie")).split(";"))
        # As in Datasette, the last one counts. Quotes are part of the value, as they are for the site.
        present = {name.strip(" \t"): value.strip(" \t") for name, _, value in pairs}
        cookies = chosen(self._config.session_cookies, lambda name: present.get(name, ""))
        names = [name.lower() for name in self._config.session_headers]
        headers = chosen(names, lambda name: ", ".join(header_values(request, name)))
        if not (cookies or headers) or is_static(datasette, request):
            return None
        return {
            "handler": self._config.session,
            "method": request.method,
            "path": quote(request.path, safe=PATH_SAFE),
            "headers": headers,
            "cookies": cookies,
        }

    async def identify(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Returns the actor of a request, or None if the handler knows no such user.

        Raises SessionUnavailable.
        """
        response, answer = await self._daemon.ask("/v1/session", body)
        verdict: Any
        match response.status, answer:
            case 200, {"outcome": "accepted", "actor": {**actor}} if actor:
                # Without a member `token`: like other users who sign in, this one may create tokens.
                verdict = actor
            case 200, {"outcome": "not-mine" | "rejected"}:
                verdict = None
            case _:
                # Never anonymous: what a signed-in user sees must not depend on the state of the site.
                raise self._daemon.no_verdict(describe_status(response), retry_after(response))
        self._daemon.verdict()
        return verdict

    def close(self) -> None:
        """Closes the connections of this event loop."""
        self._daemon.close()


def header_values(request: Request, name: str) -> list[str]:
    """Returns the values of all headers of a name in lower case."""
    headers = request.scope.get("headers") or []
    return [value.decode("latin-1") for known, value in headers if known.decode("latin-1").lower() == name]


def chosen(names: Iterable[str], value_of: Callable[[str], str]) -> dict[str, str]:
    """Returns the values of these names, without those that are empty or have characters Keyward refuses."""
    values = {name: value_of(name) for name in names}
    return {name: value for name, value in values.items() if value and value.isascii() and value.isprintable()}


def is_static(datasette: Datasette, request: Request) -> bool:
    """Returns whether a request is for a file, which everyone may read: Datasette asks even then who the user is."""
    # The path without `base_url`.
    path: str = request.scope.get("route_path", request.path)
    mounts = [f"/{mount}/" for mount, _ in datasette.static_mounts]
    return path.startswith(("/favicon.ico", "/-/static/", "/-/static-plugins/", *mounts))


def with_last(others: list[Any], ask: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Returns the results, and a last one that calls `ask` if they neither identify nor refuse a user.

    They are those of `actor_from_request`. Datasette awaits all of them, although the first one with an actor counts.
    """
    is_settled = False

    def noting(result: Any) -> Callable[[], Awaitable[Any]]:
        async def noted() -> Any:
            nonlocal is_settled
            try:
                actor = await await_me_maybe(result)
            except TokenInvalid:
                is_settled = True
                raise
            is_settled = is_settled or bool(actor)
            return actor

        return noted

    async def last() -> Any:
        return None if is_settled else await ask()

    return [*map(noting, others), last]
