"""A daemon with scripted responses, and servers that the tests define."""

import asyncio
import contextlib
import json

SECRET = "not-really-a-secret-but-long-enough"
ACCEPTED = {"outcome": "accepted", "handler": "signed", "actor": {"id": "ann", "token": "dstok"}, "token_id": None}


class Daemon:
    """Returns its scripted answers in order, and records the requests. The last answer repeats.

    An answer is a status, a body and headers, or bytes after which the connection is closed. Each takes `delay`
    seconds.
    """

    def __init__(self, *answers, delay=0):
        self.answers = list(answers)
        self.delay = delay
        self.asked, self.connections = [], 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        self.url = address(self.server)
        self.writers, self.tasks = [], []
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.tasks)

    async def connected(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        self.tasks.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.asked.append(await read_request(reader))
                await asyncio.sleep(self.delay)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    break
                writer.write(response(*answer))
        writer.close()


async def read_request(reader):
    """Returns the head and the parsed body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return head, json.loads(await reader.readexactly(int(headers["content-length"])))


@contextlib.asynccontextmanager
async def serving(serve):
    """Runs `serve(reader, writer, number)` for each connection, and yields the address."""
    tasks, writers = [], []

    async def connected(reader, writer):
        tasks.append(asyncio.current_task())
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await serve(reader, writer, len(tasks))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield address(server)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.close()
        await asyncio.gather(*tasks)


def address(server):
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def response(status, body, *headers):
    body = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body
