"""A client for one HTTP/1.1 server: a few kept connections, a deadline for each response, strict parsing.

An HTTP response does not say which request it is for. A connection is therefore used again only if the response on it
was complete, nothing followed it, and nothing arrived while the connection was idle.

httpx2, which Datasette has, takes ten times as much CPU time for each request: as long as the rest of Datasette.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import json
import re
import select
import ssl
import time
from typing import Any, cast
from urllib.parse import urlsplit

# Fewer than the calls that Keyward runs at once for one handler: more would be refused as `busy`.
CONNECTIONS = 16
# Shorter than the time after which Keyward closes an idle connection.
IDLE_SECONDS = 5.0
# How long a request waits for one of the connections, in multiples of the timeout for a response.
QUEUE_TIMEOUTS = 10
HEAD_BYTES = 16 << 10
BODY_BYTES = 1 << 20

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")


class ExchangeError(Exception):
    """A request without a usable response. The message contains nothing that was sent or received."""


class ClosedByServer(ExchangeError):
    """The end of a kept connection before any byte of a response: the server closed it while it was idle."""


@dataclasses.dataclass(frozen=True)
class Response:
    """A complete response. The names of `headers` are in lower case, and values of one name are joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Returns the parsed body, or raises ValueError or RecursionError."""
        return json.loads(self.body.decode())


@dataclasses.dataclass(frozen=True)
class Origin:
    """The address of a server."""

    tls: bool
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Parses `http://HOST`, `http://HOST:PORT` or the same with `https`, or raises ValueError."""
        parts = urlsplit(url)
        # Encodes the names of international domains.
        host = (parts.hostname or "").encode("idna").decode().lower()
        if parts.scheme not in ("http", "https") or not re.fullmatch("[a-z0-9_.-]+|[0-9a-f:.]+", host):
            raise ValueError("neither http nor https, or no host")
        if parts.username is not None or parts.path.strip("/") or "?" in url or "#" in url or parts.port == 0:
            raise ValueError("more than a host and a port")
        tls = parts.scheme == "https"
        return cls(tls, host, parts.port or (443 if tls else 80))

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Client:
    """Sends requests to one server, with at most `CONNECTIONS` in progress, in one event loop.

    `timeout` is in seconds, separately for opening a connection and for a response on it.
    """

    def __init__(self, origin: Origin, *, user: str, secret: str, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._timeout = timeout
        self._tls = ssl.create_default_context() if origin.tls else None
        credentials = base64.b64encode(f"{user}:{secret}".encode()).decode()
        self._headers = (
            f"Host: {origin.authority}\r\nAuthorization: Basic {credentials}\r\nUser-Agent: datasette-keyward\r\n"
            "Accept: application/json\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\n"
        )
        self._idle: list[Connection] = []
        self._free = CONNECTIONS
        self._queue: collections.deque[asyncio.Future[None]] = collections.deque()

    async def post(self, path: str, value: object, *, repeat: bool) -> Response:
        """Sends `value` as JSON and returns the response.

        `repeat` allows sending it a second time, if the server closed a kept connection instead of responding.

        Raises ExchangeError if there is no response, and ValueError if `value` has no JSON.
        """
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        request = f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
        await self._enter()
        try:
            if kept := self._take_idle():
                try:
                    return await self._exchange(kept, request)
                except ClosedByServer:
                    if not repeat:
                        raise
            return await self._exchange(await self._open(), request)
        finally:
            self._leave()

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _enter(self) -> None:
        """Waits until fewer than `CONNECTIONS` requests are in progress."""
        if self._free:
            self._free -= 1
            return
        turn = self._loop.create_future()
        self._queue.append(turn)
        limit = QUEUE_TIMEOUTS * self._timeout
        timer = self._loop.call_later(limit, fail, turn, ExchangeError(f"no free connection within {limit:g} s"))
        try:
            await turn
        except BaseException:
            # A request that is cancelled in its turn passes it on.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        """Gives the place of a request to the one that has waited longest."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _open(self) -> Connection:
        try:
            return await asyncio.wait_for(self._connect(), self._timeout)
        # Two classes before Python 3.11.
        except (TimeoutError, asyncio.TimeoutError):
            raise ExchangeError(f"no connection within {self._timeout:g} s") from None
        except (OSError, ValueError) as error:
            raise ExchangeError(f"no connection: {type(error).__name__}: {error}") from None

    async def _connect(self) -> Connection:
        """Connects to the server. This is the only function that depends on the kind of address."""
        create = self._loop.create_connection
        _, connection = await create(Connection, self._origin.host, self._origin.port, ssl=self._tls)
        return connection

    async def _exchange(self, connection: Connection, request: bytes) -> Response:
        response = await connection.exchange(request, self._timeout)
        if connection.is_open:
            self._idle.append(connection)
        return response


class Connection(asyncio.Protocol):
    """A connection for one exchange at a time. Everything unexpected closes it."""

    def __init__(self) -> None:
        self.is_open = False
        self._received = bytearray()
        self._pending: asyncio.Future[Response] | None = None
        self._idle_since: float | None = None

    def is_usable(self) -> bool:
        """Returns whether the connection may carry another request."""
        fresh = self._idle_since is not None and time.monotonic() - self._idle_since < IDLE_SECONDS
        # Input that the event loop has not read yet is the end of the connection, or a response to no request.
        return self.is_open and fresh and not is_readable(self._transport.get_extra_info("socket").fileno())

    async def exchange(self, request: bytes, timeout: float) -> Response:
        """Sends a request and returns its response, or closes the connection and raises ExchangeError."""
        if not self.is_open:
            raise ExchangeError("the connection was closed at once")
        loop = asyncio.get_running_loop()
        self._pending = pending = cast("asyncio.Future[Response]", loop.create_future())
        timer = loop.call_later(timeout, self._end, ExchangeError(f"no response within {timeout:g} s"))
        try:
            self._transport.write(request)
            response = await pending
        except BaseException:
            # Cancellation too: the response to this request must not become that of the next one.
            self.close()
            raise
        finally:
            timer.cancel()
            self._pending = None
        if response.headers.get("connection", "keep-alive").lower() != "keep-alive":
            self.close()
        self._received.clear()
        self._idle_since = time.monotonic()
        return response

    def close(self) -> None:
        """Closes the connection without waiting for anything."""
        self._end(ExchangeError("the connection was closed"))

    def _end(self, error: ExchangeError) -> None:
        if self.is_open:
            self.is_open = False
            self._transport.abort()
        if self._pending:
            fail(self._pending, error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if not self._pending or self._pending.done():
            # There is no request that it could be the response to.
            self.close()
            return
        self._received += data
        try:
            response = parse(self._received)
        except ExchangeError as error:
            self._end(error)
            return
        if response:
            self._pending.set_result(response)

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        kept_and_silent = self._idle_since is not None and not self._received
        self._end((ClosedByServer if kept_and_silent else ExchangeError)("the connection ended before a response"))


def parse(received: bytearray) -> Response | None:
    """Parses a response, and returns None if it is not complete yet.

    Raises ExchangeError for anything but one final response of bounded size with a `Content-Length`.
    """
    end = received.find(b"\r\n\r\n", 0, HEAD_BYTES)
    if end < 0:
        if len(received) >= HEAD_BYTES:
            raise ExchangeError("malformed response: the head is too large")
        return None
    first, *lines = bytes(received[:end]).split(b"\r\n")
    if not (status := STATUS_LINE.fullmatch(first)):
        raise ExchangeError("malformed response: the status line")
    headers: dict[str, str] = {}
    for line in lines:
        if not (header := HEADER.fullmatch(line)):
            raise ExchangeError("malformed response: a header")
        name, value = (part.decode("latin-1").strip(" \t") for part in header.groups())
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "transfer-encoding" in headers or "content-encoding" in headers:
        raise ExchangeError("malformed response: an encoding")
    length = headers.get("content-length", "")
    if not re.fullmatch("[0-9]{1,7}", length) or int(length) > BODY_BYTES:
        raise ExchangeError("malformed response: the length")
    missing = end + 4 + int(length) - len(received)
    if missing < 0:
        raise ExchangeError("malformed response: more bytes than its length")
    return None if missing else Response(int(status[1]), headers, bytes(received[end + 4 :]))


def fail(future: asyncio.Future[Any], error: ExchangeError) -> None:
    """Ends a future that has no result yet."""
    if not future.done():
        future.set_exception(error)


def is_readable(descriptor: int) -> bool:
    """Returns whether reading would return at once: input, an error, or the end."""
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
