"""Requests to the daemon for a verdict, and what is logged about missing verdicts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from datasette import TokenInvalid

from . import http

if TYPE_CHECKING:
    from . import Config

NO_VERDICT = "No verdict on this token is available, try again later"
NO_SESSION_VERDICT = "Your sign-in cannot be checked now, try again later"
LOG_SECONDS = 60
logger = logging.getLogger("datasette_keyward")

# The missing verdicts of each request in flight.
without_verdict: contextvars.ContextVar[list[VerdictUnavailable] | None] = contextvars.ContextVar(
    "without_verdict", default=None
)


class VerdictUnavailable(TokenInvalid):
    """An error for a token, possibly a valid one, on which Keyward gives no verdict.

    It is a TokenInvalid because Datasette fails with a 500 for other exceptions. `retry_after` is in seconds.
    """

    text = NO_VERDICT
    about = ""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(self.text)
        self.retry_after = retry_after


class SessionUnavailable(VerdictUnavailable):
    """An error for a request with cookies, possibly those of a user, on which Keyward gives no verdict."""

    text = NO_SESSION_VERDICT
    about = " on sessions"


class Outages:
    """Log lines about missing verdicts: the first one, then one a minute with their number, and the recovery."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, about: str = "") -> None:
        self._clock = clock
        self._about = about
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
        logger.warning("No verdict from Keyward%s: %s%s", self._about, why, more)
        self._logged_at, self._unlogged, self._is_out = now, 0, True

    def verdict(self) -> None:
        """Logs that there is a verdict again, once after each report."""
        if self._is_out:
            logger.warning(
                "Keyward gives verdicts%s again; %d more were missing in the meantime", self._about, self._unlogged
            )
            self._unlogged, self._is_out = 0, False


class Daemon:
    """The daemon, over connections of its own. Missing verdicts are errors of the type `unavailable`."""

    def __init__(self, config: Config, unavailable: type[VerdictUnavailable]) -> None:
        self.config = config
        self._unavailable = unavailable
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outages = Outages(about=unavailable.about)

    async def ask(self, path: str, value: object) -> tuple[http.Response, Any]:
        """Returns the response to a request that may be repeated, and the JSON of one with the status 200.

        Raises VerdictUnavailable if there is none.
        """
        try:
            response = await self.client().post(path, value, repeat=True)
            return response, response.json() if response.status == 200 else None
        except Exception as error:
            raise self.no_verdict(describe(error)) from None

    def client(self) -> http.Client:
        """Returns the client of the running event loop."""
        # Connections belong to an event loop. A server has one; tests and commands have several in turn.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            origin, timeout = http.Origin.parse(self.config.url), self.config.timeout
            self._connected = http.Client(origin, user=self.config.client, secret=self.config.secret, timeout=timeout)
            self._loop = loop
        return self._connected

    def close(self) -> None:
        """Closes the connections of this event loop."""
        if self._loop is asyncio.get_running_loop():
            self._connected.close()

    def verdict(self) -> None:
        """Reports a verdict."""
        self._outages.verdict()

    def no_verdict(self, why: str, retry_after: int = 1) -> VerdictUnavailable:
        """Reports a missing verdict, and returns the error for it."""
        self._outages.no_verdict(why)
        error = self._unavailable(retry_after)
        if (found := without_verdict.get()) is not None:
            found.append(error)
        return error


def describe(error: Exception) -> str:
    """Describes a failed request without any of its contents."""
    return str(error) if isinstance(error, http.ExchangeError) else type(error).__name__


HINTS = {
    401: "; check `client` and `secret`",
    403: "; check what the client may do",
    404: "; check `url` and `session`",
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
