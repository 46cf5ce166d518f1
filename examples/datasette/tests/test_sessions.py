"""Tests the users that Keyward identifies by cookies, in a real Datasette, against a daemon with scripted responses."""

import asyncio
import base64
import json
import logging
import tempfile
from pathlib import Path

import datasette_keyward
from datasette import Request, TokenInvalid, hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils import StartupError, await_me_maybe
from scripted import ACCEPTED, SECRET, Daemon, serving
from test_datasette_keyward import Case, an_instance

COOKIE = "c00kie-of-bob"
BOB = {"id": "user:7", "name": "Bob"}
KNOWN = (200, {"outcome": "accepted", "handler": "site", "actor": BOB, "token_id": None, "expires_at": None})
UNKNOWN = (200, {"outcome": "not-mine"})


def a_site(url, **settings):
    return an_instance(url, **{"session": "site", "session_cookies": ["sessionid"], **settings})


async def send(datasette, cookies=f"sessionid={COOKIE}", path="/-/actor.json", method="GET", headers=(), **more):
    headers = [*headers, *([("Cookie", cookies)] if cookies else [])]
    return await datasette.client.request(method, path, headers=headers, **more)


class Identify(Case):
    async def test_a_user_of_the_site_is_signed_in(self):
        async with Daemon(KNOWN) as daemon:
            datasette = a_site(daemon.url)
            answer = await send(datasette)
            # Without `token`, and so it may create tokens.
            self.assertEqual((answer.status_code, answer.json()["actor"]), (200, BOB))
            self.assertEqual((await send(datasette, path="/-/create-token")).status_code, 200)
        head, _ = daemon.asked[0]
        self.assertTrue(head.startswith("POST /v1/session HTTP/1.1\r\n"), head)
        self.assertIn(base64.b64encode(f"datasette:{SECRET}".encode()).decode(), head)

    async def test_another_one_is_anonymous(self):
        for answer in [
            UNKNOWN,
            (200, {"outcome": "rejected", "handler": "site", "reason": "not-permitted", "message": "…"}),
        ]:
            async with Daemon(answer) as daemon:
                answer = await send(a_site(daemon.url))
                self.assertEqual((answer.status_code, answer.json()["actor"]), (200, None))
                self.assertEqual(len(daemon.asked), 1)

    async def sent(self, cookies, path="/-/actor.json?a=b", method="GET", headers=(), **settings):
        async with Daemon(KNOWN) as daemon:
            datasette = a_site(daemon.url, **settings)
            self.assertLess((await send(datasette, cookies, path, method, headers)).status_code, 500)
            bodies = [body for _, body in daemon.asked]
        self.assertLessEqual(len(bodies), 1)
        return bodies[0] if bodies else None

    async def test_keyward_is_sent_what_the_settings_name(self):
        wanted = {
            "handler": "site",
            "method": "GET",
            "path": "/-/actor.json",
            "headers": {},
            "cookies": {"sessionid": "1"},
        }
        self.assertEqual(await self.sent("ds_messages=x; sessionid=1; SESSIONID=2; csrf=3"), wanted)
        settings = {"session_cookies": ["sessionid", "b"], "session_headers": ["X-Tenant", "X-None"]}
        headers = [("x-tenant", "1"), ("X-Tenant", "2"), ("Accept", "*/*"), ("Authorization", "Basic eDp5")]
        wanted |= {"method": "POST", "path": "/-/logout", "headers": {"x-tenant": "1, 2"}}
        self.assertEqual(await self.sent("sessionid=1; b=", "/-/logout?q", "POST", headers, **settings), wanted)
        for cookies, value in [
            (' sessionid = a=b ;c={"d": 1}', "a=b"),
            ('{"c"; sessionid="a b"', '"a b"'),
            ("sessionid=1; sessionid=2", "2"),
        ]:
            body = await self.sent(cookies, headers=[("Cookie", "other=1")])
            self.assertEqual(body["cookies"], {"sessionid": value}, cookies)

    async def test_without_any_of_it_there_is_no_call(self):
        empty = ["sessionid=", "sessionid=; other=1", "sessionid", "sessionid=\t "]
        for cookies in ["", "other=1", *empty, "sessionid=\xff"]:
            self.assertIsNone(await self.sent(cookies.encode("latin-1")), cookies)
        # The headers identify by themselves.
        self.assertIsNone(await self.sent("", headers=[("X-Tenant", "")], session_headers=["x-tenant"]))
        body = await self.sent("", headers=[("X-Tenant", "1")], session_headers=["x-tenant"])
        self.assertEqual((body["headers"], body["cookies"]), ({"x-tenant": "1"}, {}))

    async def test_files_cost_no_call(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.css").touch()
            for base_url in ("/", "/base/"):
                async with Daemon(KNOWN) as daemon:
                    datasette = a_site(daemon.url)
                    datasette.static_mounts = [("assets", folder)]
                    datasette._settings["base_url"] = base_url
                    for path in ["/-/static/app.css", "/assets/a.css", "/favicon.ico"]:
                        self.assertEqual((await send(datasette, path=path)).status_code, 200)
                    self.assertEqual(daemon.asked, [])
                    await send(datasette)
                    self.assertEqual(len(daemon.asked), 1)
        sessions = datasette_keyward.handler_of(datasette).sessions
        for path, is_asked in [("/-/static-plugins/datasette_x/y.js", False), ("/-/statics/", True), ("/assets", True)]:
            scope = {**REQUEST.scope, "path": path}
            self.assertEqual(sessions.body_for(datasette, Request(scope, None)) is not None, is_asked)

    async def test_keyward_is_sent_nothing_malformed(self):
        datasette = a_site("http://127.0.0.1:1")
        sessions = datasette_keyward.handler_of(datasette).sessions
        for change, path in [
            ({}, "/"),
            ({"raw_path": b"/a%20b~2F%C3%A9/:@?q"}, "/a%20b~2F%C3%A9/:@"),
            ({"raw_path": b"/a#b"}, "/a%23b"),
            # Some servers give the decoded path only.
            ({"path": "/\u00e9 #\n"}, "/%C3%A9%20%23%0A"),
            # Datasette has nothing for these.
            ({"path": "*"}, None),
            ({"method": "get"}, None),
            ({"type": "websocket"}, None),
            # A cookie with a control character.
            ({"headers": [(b"cookie", b"sessionid=a\x01b")]}, None),
        ]:
            body = sessions.body_for(datasette, Request({**REQUEST.scope, **change}, None))
            self.assertEqual(body and body["path"], path, change)

    async def test_parallel_requests_have_their_own_users(self):
        async def serve(reader, writer, _number):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                number = int(json.loads(await reader.readexactly(length))["cookies"]["sessionid"])
                await asyncio.sleep(number % 7 / 100)
                actor = {"outcome": "accepted", "handler": "site", "actor": {"id": f"user:{number}"}}
                status, body = (503, b"{}") if number % 5 == 0 else (200, json.dumps(actor).encode())
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

        async with serving(serve) as url:
            datasette = a_site(url)
            answers = await asyncio.gather(*(send(datasette, f"sessionid={number}") for number in range(100)))
            await datasette.invoke_shutdown()
        for number, answer in enumerate(answers):
            self.assertEqual(answer.status_code, 503 if number % 5 == 0 else 200)
            if number % 5:
                self.assertEqual(answer.json()["actor"], {"id": f"user:{number}"})

    async def test_a_slow_site_does_not_delay_tokens(self):
        async def serve(reader, writer, _number):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST /v1/session "):
                await released.wait()
            body = json.dumps(ACCEPTED).encode()
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

        released = asyncio.Event()
        async with serving(serve) as url:
            datasette = a_site(url)
            await datasette.invoke_startup()
            waiting = [asyncio.ensure_future(send(datasette)) for _ in range(40)]
            await asyncio.sleep(0.1)
            self.assertEqual(await datasette.verify_token("t"), ACCEPTED["actor"])
            self.assertFalse(any(request.done() for request in waiting))
            released.set()
            await asyncio.gather(*waiting)

    async def test_connections_are_closed_at_the_end(self):
        async with Daemon(KNOWN) as daemon:
            datasette = a_site(daemon.url)
            for _ in range(3):
                await send(datasette)
            self.assertEqual(daemon.connections, 1)
            await datasette.invoke_shutdown()
            await asyncio.wait_for(asyncio.gather(*daemon.tasks), 5)


class Precedence(Case):
    async def test_a_token_is_never_followed_by_cookies(self):
        rejected = {"outcome": "rejected", "handler": "signed", "reason": "expired", "message": "Token has expired"}
        for answer, status, actor in [
            (ACCEPTED, 200, ACCEPTED["actor"]),
            (rejected, 401, None),
            ({"outcome": "not-mine"}, 200, None),
        ]:
            async with Daemon((200, answer)) as daemon:
                answer = await send(a_site(daemon.url), headers=[("Authorization", "Bearer t")])
                self.assertEqual((answer.status_code, answer.json().get("actor")), (status, actor))
                self.assertEqual([head.split(" ")[1] for head, _ in daemon.asked], ["/v1/verify"])
        # Datasette knows only the first spelling.
        for spelling in ["bearer t", "BEARER t", "Bearer\tt", " Bearer t", "Bearer"]:
            async with Daemon(KNOWN) as daemon:
                for headers in ([], [("Authorization", "Basic eDp5")]):
                    answer = await send(a_site(daemon.url), headers=[("Authorization", spelling), *headers])
                    self.assertIsNone(answer.json()["actor"])
                self.assertEqual(daemon.asked, [], spelling)
        async with Daemon(KNOWN) as daemon:
            answer = await send(a_site(daemon.url), headers=[("Authorization", "Basic eDp5")])
            self.assertEqual(answer.json()["actor"], BOB)

    async def test_datasettes_own_cookie_goes_first(self):
        async with Daemon(KNOWN) as daemon:
            datasette = a_site(daemon.url)
            cookies = f"sessionid={COOKIE}; ds_actor={datasette.client.actor_cookie({'id': 'ann'})}"
            self.assertEqual((await send(datasette, cookies)).json()["actor"], {"id": "ann"})
            self.assertEqual(daemon.asked, [])
            # A cookie of another Datasette identifies nobody.
            self.assertEqual((await send(datasette, cookies + "x")).json()["actor"], BOB)
            self.assertEqual(len(daemon.asked), 1)

    async def test_other_plugins_go_first_whatever_their_order(self):
        class Plugin:
            @hookimpl(trylast=True)
            def actor_from_request(datasette, request):
                async def actor():
                    if request.path == "/refused.json":
                        raise TokenInvalid("theirs")
                    return {"id": "theirs"} if request.path == "/-/actor.json" else None

                return actor

        class Wrapper:
            @hookimpl(wrapper=True)
            def actor_from_request(datasette, request):
                return [*(yield), {"id": "wrapper's"} if request.path == "/-/logout" else None]

        async with Daemon(KNOWN) as daemon:
            datasette = a_site(daemon.url)
            with self.other_plugin(Plugin), self.other_plugin(Wrapper):
                self.assertEqual((await send(datasette)).json()["actor"], {"id": "theirs"})
                answer = await send(datasette, path="/refused.json")
                self.assertEqual((answer.status_code, answer.json()["error"]), (401, "theirs"))
                self.assertIn("wrapper", (await send(datasette, path="/-/logout")).text)
                self.assertEqual(daemon.asked, [])
                await send(datasette, path="/")
                self.assertEqual(len(daemon.asked), 1)


class NoVerdict(Case):
    ERROR = datasette_keyward.daemon.NO_SESSION_VERDICT

    async def test_whatever_is_no_answer_makes_nobody_anonymous(self):
        for answer in [
            (200, ""),
            (200, "null"),
            (200, {}),
            (200, {"outcome": "accepted"}),
            (200, {"outcome": "accepted", "actor": {}}),
            (200, {"outcome": "accepted", "actor": "ann"}),
            (200, {"outcome": "failed", "code": "unavailable"}),
            (201, KNOWN[1]),
            (302, KNOWN[1], "Location: /"),
            (400, {"error": "invalid_request"}),
            (401, {"error": "invalid_client"}),
            (404, UNKNOWN[1]),
            (503, UNKNOWN[1]),
            b"",
        ]:
            with self.subTest(answer=answer):
                async with Daemon(answer) as daemon:
                    datasette = a_site(daemon.url)
                    for path in ("/-/actor.json", "/no-such"):
                        answer = await send(datasette, path=path)
                        self.assertEqual(answer.status_code, 503, answer.text)
                        self.assertEqual(answer.headers.get_list("retry-after"), ["1"])
                        self.assertNotIn("www-authenticate", answer.headers)
                        self.assertEqual(answer.headers["cache-control"], "private, no-store")
                        body = {"ok": False, "error": self.ERROR, "errors": [self.ERROR], "status": 503}
                        self.assertEqual(answer.json(), body)
                    # Requests without these cookies are not affected.
                    self.assertEqual((await send(datasette, "other=1")).status_code, 200)
                    self.assertEqual((await send(datasette, path="/-/static/app.css")).status_code, 200)

    async def test_a_browser_gets_a_page(self):
        async with Daemon((503, "", "Retry-After: 7")) as daemon:
            datasette = a_site(daemon.url)
            accept = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
            answer = await send(datasette, path="/", headers=accept)
            self.assertEqual((answer.status_code, answer.headers["retry-after"]), (503, "7"))
            self.assertEqual(answer.headers.get_list("content-type"), ["text/html; charset=utf-8"])
            self.assertIn(self.ERROR, answer.text)
            self.assertIn("<h1>Error 503</h1>", answer.text)
            answer = await send(datasette, headers=accept)
            self.assertEqual((answer.status_code, answer.json()["error"]), (503, self.ERROR))
            # A program that presents a token gets JSON.
            answer = await send(datasette, path="/", headers=[*accept, ("Authorization", "Bearer t")])
            self.assertEqual((answer.status_code, answer.json()["error"]), (503, datasette_keyward.daemon.NO_VERDICT))

    async def test_it_answers_too_late(self):
        async with Daemon(KNOWN, delay=0.5) as daemon:
            self.assertEqual((await send(a_site(daemon.url, timeout=0.1))).status_code, 503)

    async def test_nobody_listens(self):
        async with Daemon(KNOWN) as daemon:
            pass
        self.assertEqual((await send(a_site(daemon.url))).status_code, 503)


class Forged(Case):
    """Requests that another site caused. Datasette refuses them by itself, whatever cookies they have."""

    async def test_they_are_refused_before_keyward_is_called(self):
        async with Daemon(KNOWN) as daemon:
            datasette = a_site(daemon.url)
            form = {"data": {"expire_type": ""}}
            for headers in [
                [("Sec-Fetch-Site", "cross-site")],
                [("Sec-Fetch-Site", "same-site")],
                [("Origin", "https://evil.example")],
                [("Origin", "null")],
            ]:
                for method in ("POST", "PUT", "PATCH", "DELETE"):
                    answer = await send(datasette, path="/-/create-token", method=method, headers=headers, **form)
                    self.assertEqual(answer.status_code, 403, headers)
            self.assertEqual(daemon.asked, [])
            headers = [("Sec-Fetch-Site", "same-origin")]
            answer = await send(datasette, path="/-/create-token", method="POST", headers=headers, **form)
            self.assertIn("dstok_", answer.text)


class Settings(Case):
    GOOD = {"url": "http://127.0.0.1:8787", "client": "datasette", "secret": SECRET}

    async def test_what_is_wrong_is_said_at_the_start(self):
        names, own = ["sessionid"], "is Datasette's own"
        not_names = "must be a list of names"
        for change, told in [
            ({"session": ""}, "session: must be the name"),
            ({"session": 1}, "session: must be the name"),
            ({"session": None, "session_cookies": names}, "session: must be set"),
            ({"session": None, "session_cookies": [], "session_headers": ["x-a"]}, "session: must be set"),
            ({"session_cookies": []}, "session_cookies: must name at least one cookie"),
            ({"session_cookies": None}, f"session_cookies: {not_names}"),
            ({"session_cookies": "sessionid"}, f"session_cookies: {not_names}"),
            ({"session_cookies": {"sessionid": 1}}, f"session_cookies: {not_names}"),
            *(({"session_cookies": [*names, name]}, f"session_cookies: {not_names}") for name in NO_NAMES),
            ({"session_cookies": ["ds_actor"]}, f"session_cookies: ds_actor {own}"),
            ({"session_cookies": [*names, "ds_csrftoken"]}, "session_cookies: ds_csrftoken is that of"),
            ({"session_headers": None}, f"session_headers: {not_names}"),
            ({"session_headers": "x"}, f"session_headers: {not_names}"),
            ({"session_headers": ["x-a", "x:"]}, f"session_headers: {not_names}"),
            ({"session_headers": ["Authorization"]}, "session_headers: Authorization may have a bearer token"),
            ({"session_headers": ["COOKIE"]}, "session_headers: COOKIE has all cookies"),
        ]:
            with self.subTest(change=change):
                settings = {**self.GOOD, "session": "site", "session_cookies": names, **change}
                datasette = Datasette(memory=True, config={"plugins": {datasette_keyward.PLUGIN: settings}})
                with self.assertRaises(StartupError) as raised:
                    await datasette.invoke_startup()
                self.assertIn(f"plugins.datasette-keyward: {told}", str(raised.exception))
        settings = {**self.GOOD, "session": "site"}
        with self.assertRaises(StartupError):
            datasette_keyward.Config.read(settings)
        datasette_keyward.Config.read({**settings, "session_cookies": ["__Host-id", "a.b"], "session_headers": ["X-A"]})

    async def test_without_them_nothing_is_done(self):
        async with Daemon(KNOWN) as daemon:
            datasette = an_instance(daemon.url)
            self.assertIsNone((await send(datasette)).json()["actor"])
            self.assertEqual(daemon.asked, [])
        for other in (datasette, Datasette(memory=True)):
            results = pm.hook.actor_from_request(datasette=other, request=REQUEST)
            # The results of others, not wrapped.
            self.assertNotIn("with_last", repr(results))
            self.assertEqual([await await_me_maybe(result) for result in results], [None] * len(results))


HEADERS = [(b"cookie", f"sessionid={COOKIE}".encode())]
REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": HEADERS}, None)
NO_NAMES = ["", "a b", "a=b", "a;b", "é", "a\n", 1, None]


class Log(Case):
    async def test_it_says_why_and_has_no_cookie(self):
        for answer, told in [
            (b"", "No verdict from Keyward on sessions: the connection ended before a response"),
            ((404, {"error": "not_found"}), "status 404 (not_found); check `url` and `session`"),
            ((503, {"outcome": "failed", "message": COOKIE}), "status 503"),
            ((400, {"error": COOKIE}), "status 400"),
            ((200, COOKIE), "JSONDecodeError"),
            ((200, {"outcome": COOKIE}), "status 200"),
            (COOKIE.encode() + b"\r\n\r\n", "malformed response: the status line"),
        ]:
            logging.getLogger("datasette_keyward").setLevel(logging.NOTSET)
            async with Daemon(answer) as daemon:
                datasette = a_site(daemon.url)
                with self.assertLogs(level=logging.DEBUG) as logged:
                    answers = [await send(datasette) for _ in range(3)]
                    daemon.answers[:] = [KNOWN]
                    self.assertEqual((await send(datasette)).json()["actor"], BOB)
            text = "\n".join([*logged.output, *(answer.text for answer in answers)])
            self.assertIn(told, text)
            self.assertEqual(text.count("No verdict"), 1, text)
            self.assertIn("Keyward gives verdicts on sessions again; 2 more were missing", text)
            self.assertNotIn(COOKIE, text)

    async def test_errors_and_results_do_not_show_it(self):
        async with Daemon((200, COOKIE)) as daemon:
            datasette = a_site(daemon.url)
            results = pm.hook.actor_from_request(datasette=datasette, request=REQUEST)
            self.assertNotIn(COOKIE, repr(results))
            for result in results[:-1]:
                self.assertIsNone(await result())
            with self.assertRaises(datasette_keyward.SessionUnavailable) as raised:
                await results[-1]()
        error = raised.exception
        while error:
            self.assertNotIn(COOKIE, f"{error!r} {error} {error.__dict__}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        self.assertNotIn(COOKIE, repr(vars(datasette_keyward.handler_of(datasette).sessions)))
