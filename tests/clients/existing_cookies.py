"""Runs the scenarios of standard input with Datasette and datasette-auth-existing-cookies."""

import asyncio
import contextlib
import io
import json
import os
import sys
import urllib.request
from functools import partial
from types import SimpleNamespace

# Datasette loads no other plugin that is installed. It reads this when it is imported.
os.environ["DATASETTE_LOAD_PLUGINS"] = "datasette-auth-existing-cookies"

import datasette_auth_existing_cookies as plugin  # noqa: E402
from cachetools import TTLCache  # noqa: E402
from datasette.app import Datasette  # noqa: E402

# The time of the plugin's cache passes only by steps.
clock = SimpleNamespace(now=0)
plugin.TTLCache = partial(TTLCache, timer=lambda: clock.now)


async def answer(datasette, step):
    cookies, headers = dict(step.get("cookies", {})), dict(step.get("headers", {}))
    if "ds_actor" in step:
        cookies["ds_actor"] = datasette.client.actor_cookie({"id": step["ds_actor"]})
    if cookies:
        # As they are, without the rules of a client's cookie jar.
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    if "token" in step:
        token = await datasette.create_token("ann") if step["token"] == "SIGNED" else step["token"]
        headers["authorization"] = f"Bearer {token}"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        response = await datasette.client.get("/-/actor.json", headers=raw)
    except Exception:
        # Datasette does not catch what a plugin raises. Its server answers with a 500.
        return {"status": 500}
    body = response.json()
    return {"status": response.status_code, "actor": body.get("actor"), "error": body.get("error")}


async def result(datasette, step, mark):
    # Separates the requests of the steps in what the API has seen.
    urllib.request.urlopen(mark).close()
    clock.now += step.get("advance", 0)
    if "parallel" not in step:
        return await answer(datasette, step)
    answers = await asyncio.gather(*[answer(datasette, step) for _ in range(step["parallel"])])
    assert all(found == answers[0] for found in answers)
    return answers[0]


async def run(scenario):
    plugins = {"datasette-auth-existing-cookies": scenario["plugin"]}
    datasette = Datasette(memory=True, config={"plugins": plugins})
    await datasette.invoke_startup()
    steps = [await result(datasette, step, scenario["mark"]) for step in scenario["steps"]]
    datasette.close()
    return steps


async def main():
    return [await run(scenario) for scenario in json.load(sys.stdin)]


# Datasette prints the exceptions that it catches, also to standard output.
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    results = asyncio.run(main())
json.dump(results, sys.stdout)
