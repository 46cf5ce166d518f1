"""Compares Datasette with Keyward to Datasette's own handler: throughput with 8 connections, and a burst of 400.

python benchmark.py path/to/keyward

Datasette and this plugin must be installed. Both instances run at once and take turns, round by round. Use a release
build of Keyward.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = Path(__file__).parent
SECRET = "the secret of this Datasette, long enough"
CONNECTIONS, SECONDS, ROUNDS, BURST = 8, 2.0, 11, 400


def main() -> None:
    """Prints the throughput of both instances, their ratio, and the failures in a burst."""
    keyward = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        environment = {**os.environ, "DATASETTE_SECRET": SECRET}
        printed = subprocess.check_output([keyward, "client", "datasette"], text=True)
        secret = environment["KEYWARD_SECRET"] = printed.splitlines()[1]
        (digest,) = re.findall('secret_sha256 = "(.*)"', printed)
        config = (EXAMPLES / "keyward.toml").read_text().replace("DIGEST", digest)
        config = re.sub(r"127\.0\.0\.1:878[78]", "127.0.0.1:0", config)
        Path(folder, "keyward.toml").write_text(config)

        def start(name: str, pattern: str, *command: str | Path) -> str:
            return running.enter_context(started(Path(folder, name), pattern, list(command), environment))

        url = start("keyward", r"(http://127\.0\.0\.1:\d+)", keyward, "serve", "--config", Path(folder, "keyward.toml"))
        datasette = [sys.executable, "-m", "datasette", "--memory", "--port", "0"]
        settings = {"url": url, "client": "datasette", "secret": secret}
        configured = [
            part for name, value in settings.items() for part in ("-s", f"plugins.datasette-keyward.{name}", value)
        ]
        uvicorn = r"running on http://127\.0\.0\.1:(\d+)"
        ports = {
            "Datasette's own handler": int(start("own", uvicorn, *datasette)),
            "Keyward": int(start("with", uvicorn, *datasette, *configured)),
        }
        token = subprocess.check_output([*datasette[:3], "create-token", "ann"], text=True, env=environment).strip()
        asyncio.run(measure(ports, token))
        if '"endpoint":"verify"' not in Path(folder, "keyward").read_text():
            raise SystemExit("Keyward was not called: is the plugin installed?")


async def measure(ports: dict[str, int], token: str) -> None:
    """Measures the instances round by round."""
    rounds: list[dict[str, float]] = []
    for number in range(ROUNDS + 1):
        names = list(ports) if number % 2 else list(ports)[::-1]
        rates = {name: await throughput(ports[name], token) for name in names}
        # The first round warms up.
        rounds += [rates] if number else []
    for name in ports:
        print(f"{name}: {statistics.median(rates[name] for rates in rounds):,.0f} requests/s")
    own, keyward = ports
    ratios = sorted(rates[keyward] / rates[own] for rates in rounds)
    print(f"ratio with {CONNECTIONS} connections: {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
    for name, port in ports.items():
        statuses = await asyncio.gather(*(once(port, token) for _ in range(BURST)))
        print(f"{name}: {sum(status != 200 for status in statuses)} of {BURST} concurrent requests failed")


async def throughput(port: int, token: str) -> float:
    """Returns the requests a second of `CONNECTIONS` connections."""
    end = time.perf_counter() + SECONDS

    async def connection() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < end:
            if await get(reader, writer, token) != 200:
                raise RuntimeError("a request failed")
            count += 1
        writer.close()
        return count

    start = time.perf_counter()
    counts = await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - start)


async def once(port: int, token: str) -> int:
    """Returns the status of one request on its own connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    status = await get(reader, writer, token)
    writer.close()
    return status


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> int:
    """Requests the actor of the token, and returns the status; 0 if the actor is another one."""
    writer.write(f"GET /-/actor.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    # Datasette's responses are chunked.
    body = await reader.readuntil(b"\r\n0\r\n\r\n")
    return status if status != 200 or b'"id": "ann"' in body else 0


@contextlib.contextmanager
def started(log: Path, pattern: str, command: list[str | Path], environment: dict[str, str]) -> Iterator[str]:
    """Runs a program, and yields the text that matches `pattern` in its output."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=log.parent)
    try:
        while not (found := re.search(pattern, log.read_text())):
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended:\n{log.read_text()}")
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
