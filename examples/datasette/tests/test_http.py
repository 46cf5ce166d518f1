"""Tests the HTTP client against servers that misbehave."""

import asyncio
import contextlib
import random
import socket
import unittest
from unittest import mock

from datasette_keyward import http
from scripted import SECRET, read_request, response, serving


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # The features that the base class enables take most of the time.
        asyncio.get_running_loop().set_debug(False)

    def client(self, url):
        client = http.Client(http.Origin.parse(url), user="datasette", secret=SECRET, timeout=30)
        self.addCleanup(client.close)
        return client


async def ask(client, token="t", *, repeat=True):
    """Returns the token in the response of an echoing server."""
    return (await client.post("/v1/verify", {"token": token}, repeat=repeat)).json()["token"]


async def echo(reader, writer, _number):
    """Responds to each request with its body, until the connection ends."""
    while True:
        _, body = await read_request(reader)
        writer.write(response(200, body))


OK = b"HTTP/1.1 200 OK\r\n"
MALFORMED = [
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\n{}",
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    OK + b"\r\n",
    OK + b"Content-Length:\r\n\r\n",
    OK + b"Content-Length: -2\r\n\r\n{}",
    OK + b"Content-Length: +2\r\n\r\n{}",
    OK + b"Content-Length: 0x2\r\n\r\n{}",
    OK + b"Content-Length: 2.0\r\n\r\n{}",
    OK + "Content-Length: ²\r\n\r\n{}".encode("latin-1"),
    OK + b"Content-Length: 1048577\r\n\r\n{}",
    OK + b"Content-Length: 00000002\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    OK + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
    OK + b"Content-Length: 2, 2\r\n\r\n{}",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    OK + b"Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}",
    OK + b"Content-Length : 2\r\n\r\n{}",
    OK + b" Content-Length: 2\r\n\r\n{}",
    OK + b"Content-Length: 2\r\n X: folded\r\n\r\n{}",
    OK + b"Content-Length: 2\r\n: empty\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nno colon\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nX: a\nb\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nX: a\rb\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nX: a\x00\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nX\xe9: a\r\n\r\n{}",
    OK + b"X: " + b"x" * (16 << 10),
    OK + b"X: " + b"x" * (16 << 10) + b"\r\nContent-Length: 2\r\n\r\n{}",
    b"x" * (32 << 10),
    OK + b"Content-Length: 2\r\n\r\n{}x",
    OK + b"Content-Length: 0\r\n\r\n{}",
    2 * (OK + b"Content-Length: 2\r\n\r\n{}"),
]

STRICT = [
    OK + b"Content-Length: 13\r\n\r\n" + b'{"token":"t"}',
    b'HTTP/1.1 200 \r\ncontent-length:13\r\n\r\n{"token":"t"}',
    b'HTTP/1.1 404 Not Found\r\nX:\r\nCONTENT-LENGTH: \t13 \r\nX-2: \xe9\r\n\r\n{"token":"t"}',
    OK + b'Content-Length: 13\r\nConnection: Keep-Alive\r\n\r\n{"token":"t"}',
    OK + b"Content-Length: 1048576\r\n\r\n" + b'{"token":"t"}'.ljust(1 << 20),
    OK + b"X: " + b"x" * 16_000 + b'\r\nContent-Length: 13\r\n\r\n{"token":"t"}',
]


class Parsing(Case):
    async def test_anything_odd_is_an_error_and_closes_the_connection(self):
        async def serve(reader, writer, number):
            if number == 2:
                await echo(reader, writer, number)
            await read_request(reader)
            writer.write(raw)
            closed.set_result(await reader.read())

        for raw in MALFORMED:
            with self.subTest(raw=raw[:100]):
                closed = asyncio.get_running_loop().create_future()
                async with serving(serve) as url:
                    client = self.client(url)
                    with self.assertRaises(http.ExchangeError) as raised:
                        await ask(client)
                    self.assertIn("malformed response", str(raised.exception))
                    self.assertEqual((await closed, await ask(client, "next")), (b"", "next"))

    async def test_a_response_may_arrive_in_any_pieces(self):
        async def serve(reader, writer, number):
            while True:
                await read_request(reader)
                for at in range(0, len(raw), size):
                    writer.write(raw[at : at + size])
                    await writer.drain()
                    await asyncio.sleep(0)

        for raw in STRICT:
            for size in (1, 7, 4096, len(raw)):
                if len(raw) // size > 20_000:
                    continue
                with self.subTest(raw=raw[:100], size=size):
                    async with serving(serve) as url:
                        client = self.client(url)
                        self.assertEqual([await ask(client), await ask(client)], ["t", "t"])

    async def test_a_body_that_is_not_utf_8_is_no_json(self):
        for body in ('{"token":"t"}'.encode("utf-16"), b'{"token":"\xff"}', b"\xef\xbb\xbf{}"):
            with self.assertRaises(ValueError):
                http.Response(200, {}, body).json()


class Reuse(Case):
    """A connection with anything left of one request carries no other: one user must not get another's actor."""

    async def test_a_cancelled_request_takes_its_connection_with_it(self):
        async def serve(reader, writer, number):
            if number > 1:
                await echo(reader, writer, number)
            _, body = await read_request(reader)
            raw = response(200, body)
            writer.write(raw[:split])
            sent.set()
            await cancelled.wait()
            # The rest is a response to a request that nothing waits for any more.
            writer.write(raw[split:])
            with contextlib.suppress(ConnectionError):
                self.assertEqual(await reader.read(), b"")
            closed.set()

        whole = len(response(200, {"token": "mallory"}))
        for split in (0, 1, 20, whole - 15, whole - 1, whole):
            with self.subTest(split=split):
                sent, cancelled, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
                async with serving(serve) as url:
                    client = self.client(url)
                    request = asyncio.ensure_future(ask(client, "mallory"))
                    await sent.wait()
                    request.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await request
                    cancelled.set()
                    self.assertEqual([await ask(client, f"{n}") for n in range(3)], ["0", "1", "2"])
                    await asyncio.wait_for(closed.wait(), 30)

    async def test_requests_that_are_cancelled_at_random_get_only_their_own_responses(self):
        async def serve(reader, writer, _number):
            while True:
                _, body = await read_request(reader)
                raw = response(200, body)
                for at in range(0, len(raw), 20):
                    for _ in range(chance.randrange(3)):
                        await asyncio.sleep(0)
                    writer.write(raw[at : at + 20])

        chance = random.Random(1)
        async with serving(serve) as url:
            client = self.client(url)
            cancelled = 0
            for round in range(40):
                requests = [asyncio.ensure_future(ask(client, f"{round}-{n}")) for n in range(50)]
                for _ in range(chance.randrange(30)):
                    await asyncio.sleep(0)
                    chance.choice(requests).cancel()
                for n, answer in enumerate(await asyncio.gather(*requests, return_exceptions=True)):
                    if isinstance(answer, asyncio.CancelledError):
                        cancelled += 1
                    else:
                        self.assertEqual(answer, f"{round}-{n}")
            self.assertGreater(cancelled, 100)
            # No place was lost.
            self.assertEqual((client._free, len(client._queue)), (http.CONNECTIONS, 0))

    async def test_a_late_response_is_not_that_of_the_next_request(self):
        async def serve(reader, writer, number):
            if number > 1:
                await echo(reader, writer, number)
            _, body = await read_request(reader)
            writer.write(response(200, body))
            _, body = await read_request(reader)
            writer.write(response(200, body)[:-1])
            await late.wait()
            writer.write(b"}")
            await echo(reader, writer, number)

        late = asyncio.Event()
        async with serving(serve) as url:
            client = self.client(url)
            await ask(client)
            client._timeout = 0.1
            with self.assertRaises(http.ExchangeError) as raised:
                await ask(client, "mallory")
            self.assertEqual(str(raised.exception), "no response within 0.1 s")
            late.set()
            client._timeout = 30
            self.assertEqual(await ask(client, "ann"), "ann")

    async def test_a_second_response_is_not_that_of_the_next_request(self):
        for is_read in (True, False):
            with self.subTest(is_read=is_read), socket.create_server(("127.0.0.1", 0)) as listener:
                listener.setblocking(False)
                loop = asyncio.get_running_loop()
                client = self.client(f"http://127.0.0.1:{listener.getsockname()[1]}")
                request = asyncio.ensure_future(ask(client, "mallory"))
                first, _ = await loop.sock_accept(listener)
                with first:
                    await loop.sock_recv(first, 65536)
                    first.send(response(200, {"token": "mallory"}))
                    self.assertEqual(await request, "mallory")
                    # Without a turn of the event loop, the client has not read it when it sends the next request.
                    first.send(response(200, {"token": "mallory"}))
                    if is_read:
                        while client._idle[0].is_open:
                            await asyncio.sleep(0)
                    request = asyncio.ensure_future(ask(client, "ann"))
                    second, _ = await asyncio.wait_for(loop.sock_accept(listener), 30)
                    with second:
                        await loop.sock_recv(second, 65536)
                        second.send(response(200, {"token": "ann"}))
                        self.assertEqual(await request, "ann")

    async def test_the_servers_wish_to_close_is_respected(self):
        async def serve(reader, writer, _number):
            connections.append(writer)
            while True:
                _, body = await read_request(reader)
                writer.write(response(200, body, "Connection: close"))

        connections = []
        async with serving(serve) as url:
            client = self.client(url)
            self.assertEqual([await ask(client, f"{n}") for n in range(3)], ["0", "1", "2"])
            self.assertEqual(len(connections), 3)

    async def test_a_connection_that_was_idle_for_long_is_not_used(self):
        async def serve(reader, writer, number):
            connections.append(writer)
            await echo(reader, writer, number)

        connections = []
        async with serving(serve) as url:
            client = self.client(url)
            await ask(client)
            with mock.patch.object(http, "IDLE_SECONDS", 0):
                await ask(client)
            await ask(client)
            self.assertEqual(len(connections), 2)


class Retries(Case):
    async def count(self, serve, *, repeat=True):
        """Returns the second response of a server or its error, and the requests that the server received."""
        received = []

        async def recorded(reader, writer, number):
            async def receive():
                received.append(await read_request(reader))
                return received[-1][1]

            await serve(receive, writer, number)

        async with serving(recorded) as url:
            client = self.client(url)
            await ask(client, "first")
            try:
                return await ask(client, "second", repeat=repeat), len(received)
            except http.ExchangeError as error:
                return type(error), len(received)

    async def test_only_a_kept_connection_that_ends_in_silence_is_replaced(self):
        def ends_with(last, *, always=False):
            async def serve(receive, writer, number):
                if number == 1:
                    writer.write(response(200, await receive()))
                body = await receive()
                if number == 1 or always:
                    writer.write(last)
                else:
                    writer.write(response(200, body))

            return serve

        for last, always, repeat, wanted in [
            (b"", False, True, ("second", 3)),
            (b"", False, False, (http.ClosedByServer, 2)),
            (b"", True, True, (http.ExchangeError, 3)),
            (b"H", False, True, (http.ExchangeError, 2)),
            (OK + b"Content-Length: 2\r\n\r\n{", False, True, (http.ExchangeError, 2)),
            (b"malformed\r\n\r\n", False, True, (http.ExchangeError, 2)),
        ]:
            with self.subTest(last=last, always=always, repeat=repeat):
                self.assertEqual(await self.count(ends_with(last, always=always), repeat=repeat), wanted)


class Queue(Case):
    async def test_requests_wait_for_a_connection_and_not_for_ever(self):
        async def serve(reader, writer, number):
            nonlocal most
            most = max(most, number)
            await responds.wait()
            await echo(reader, writer, number)

        most, responds = 0, asyncio.Event()
        numbers = [f"{number}" for number in range(400)]
        async with serving(serve) as url:
            client = self.client(url)
            with mock.patch.object(http, "QUEUE_TIMEOUTS", 0):
                requests = [asyncio.ensure_future(ask(client, number)) for number in numbers]
                refused = {str(error) for error in await gather(requests[http.CONNECTIONS :])}
            self.assertEqual(refused, {"no free connection within 0 s"})
            responds.set()
            self.assertEqual(await gather(requests[: http.CONNECTIONS]), numbers[: http.CONNECTIONS])
            self.assertEqual(await gather(ask(client, number) for number in numbers), numbers)
            self.assertEqual((most, client._free), (http.CONNECTIONS, http.CONNECTIONS))


async def gather(coroutines):
    return await asyncio.gather(*coroutines, return_exceptions=True)


class Origins(unittest.TestCase):
    def test_an_origin_is_a_scheme_a_host_and_a_port(self):
        for url, host, port, tls, authority in [
            ("http://127.0.0.1:8787", "127.0.0.1", 8787, False, "127.0.0.1:8787"),
            ("http://Keyward.Example/", "keyward.example", 80, False, "keyward.example"),
            ("HTTPS://keyward.example", "keyward.example", 443, True, "keyward.example"),
            ("https://keyward.example:80", "keyward.example", 80, True, "keyward.example:80"),
            ("http://[::1]:80", "::1", 80, False, "[::1]"),
            ("https://[::1]:1/", "::1", 1, True, "[::1]:1"),
            ("http://bücher.example", "xn--bcher-kva.example", 80, False, "xn--bcher-kva.example"),
        ]:
            origin = http.Origin.parse(url)
            self.assertEqual((origin, origin.authority), (http.Origin(tls, host, port), authority))
