"""Tests the plugin in a real Datasette, against a daemon with scripted responses.

python -m unittest discover tests
"""

import asyncio
import base64
import contextlib
import importlib.util
import logging
import os
import unittest

import datasette_keyward
from datasette import TokenHandler, TokenInvalid, TokenRestrictions, hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils import StartupError
from scripted import ACCEPTED, SECRET, Daemon, read_request, serving

if not pm.is_registered(datasette_keyward):
    pm.register(datasette_keyward, "datasette_keyward")


def an_instance(url, others=None, **settings):
    # A busy machine may be slow.
    given = {"url": url, "client": "datasette", "secret": SECRET, "timeout": 30, **settings}
    plugins = {datasette_keyward.PLUGIN: given, **(others or {})}
    return Datasette(memory=True, secret="of datasette", config={"plugins": plugins})


async def who(datasette, token="a-token", path="/-/actor.json"):
    return await datasette.client.get(path, headers={"Authorization": f"Bearer {token}".encode("latin-1")})


class Case(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        logging.getLogger("datasette_keyward").setLevel(logging.CRITICAL)
        self.addCleanup(logging.getLogger("datasette_keyward").setLevel, logging.NOTSET)

    async def asyncSetUp(self):
        # The features that the base class enables take most of the time.
        asyncio.get_running_loop().set_debug(False)

    @contextlib.contextmanager
    def other_plugin(self, plugin):
        pm.register(plugin, f"test {id(plugin)}")
        try:
            yield
        finally:
            pm.unregister(plugin)


class Verify(Case):
    async def test_an_accepted_token_is_the_actor_that_keyward_says(self):
        actor = {"id": "ann", "token": "dstok", "_r": {"a": ["vi"]}, "token_expires": 9999999999}
        async with Daemon((200, {**ACCEPTED, "actor": actor})) as daemon:
            answer = await who(an_instance(daemon.url), "dstok_é")
        self.assertEqual((answer.status_code, answer.json()["actor"]), (200, actor))
        head, body = daemon.asked[0]
        self.assertEqual(body, {"token": "dstok_é"})
        self.assertTrue(head.startswith("POST /v1/verify HTTP/1.1\r\n"), head)
        self.assertIn(base64.b64encode(f"datasette:{SECRET}".encode()).decode(), head)

    async def test_an_actor_that_came_by_a_token_says_so(self):
        for actor in ({"id": "bot"}, {"id": "bot", "token": None}):
            async with Daemon((200, {**ACCEPTED, "handler": "bots", "actor": actor})) as daemon:
                answer = await who(an_instance(daemon.url))
                self.assertEqual(answer.json()["actor"], {"id": "bot", "token": "bots"})
                # The reason that it cannot create other tokens.
                answer = await who(an_instance(daemon.url), path="/-/create-token")
                self.assertEqual(answer.status_code, 403)

    async def test_a_token_that_is_not_keywards_is_left_to_others(self):
        class Other(TokenHandler):
            async def verify_token(self, datasette, token):
                return {"id": "of another"} if token == "other" else None

        class Plugin:
            @hookimpl
            def register_token_handler(datasette):
                return Other()

        async with Daemon((200, {"outcome": "not-mine"})) as daemon:
            datasette = an_instance(daemon.url)
            with self.other_plugin(Plugin):
                self.assertEqual((await who(datasette, "other")).json()["actor"], {"id": "of another"})
                self.assertIsNone((await who(datasette, "nobodys")).json()["actor"])

    async def test_a_rejected_token_is_refused_though_datasette_would_take_it(self):
        rejected = {"outcome": "rejected", "handler": "signed", "reason": "expired", "message": "Token has expired"}
        async with Daemon((200, rejected)) as daemon:
            datasette = an_instance(daemon.url)
            token = await datasette.create_token("ann", handler="signed")
            answer = await who(datasette, token)
            self.assertEqual((answer.status_code, answer.json()["error"]), (401, "Token has expired"))
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer error="invalid_token"')
            self.assertEqual((await who(datasette, token, "/no-such")).status_code, 401)
            with self.assertRaises(TokenInvalid) as raised:
                await datasette.verify_token(token)
            self.assertNotIsInstance(raised.exception, datasette_keyward.VerdictUnavailable)
            cookies = {"ds_actor": datasette.client.actor_cookie({"id": "ann"})}
            answer = await datasette.client.get("/-/actor", headers={"Authorization": "Bearer x"}, cookies=cookies)
            self.assertEqual(answer.status_code, 401)

    async def test_a_token_that_no_request_can_carry_is_refused(self):
        async with Daemon((413, {"error": "content_too_large"})) as daemon:
            self.assertEqual((await who(an_instance(daemon.url))).status_code, 401)


class NoVerdict(Case):
    async def check(self, datasette, retry_after="1"):
        """The token gets a 503, whatever else is presented, although Datasette itself would accept it."""
        token = await datasette.create_token("ann", handler="signed")
        cookies = {"ds_actor": datasette.client.actor_cookie({"id": "ann"})}
        for path in ("/-/actor.json", "/no-such"):
            headers = {"Authorization": f"Bearer {token}"}
            answer = await datasette.client.get(path, headers=headers, cookies=cookies)
            self.assertEqual(answer.status_code, 503, answer.text)
            self.assertEqual(answer.headers.get_list("retry-after"), [retry_after])
            self.assertNotIn("www-authenticate", answer.headers)
            self.assertEqual(answer.headers["cache-control"], "private, no-store")
            error = datasette_keyward.daemon.NO_VERDICT
            self.assertEqual(answer.json(), {"ok": False, "error": error, "errors": [error], "status": 503})
        with self.assertRaises(datasette_keyward.VerdictUnavailable) as raised:
            await datasette.verify_token(token)
        self.assertEqual(raised.exception.retry_after, int(retry_after))
        # A request without a token is not affected.
        self.assertEqual((await datasette.client.get("/-/actor.json", cookies=cookies)).json()["actor"], {"id": "ann"})

    async def test_whatever_is_no_answer_is_no_yes(self):
        for answer in [
            (200, ""),
            (200, "<html>"),
            (200, "\xff{"),
            (200, []),
            (200, {}),
            (200, "null"),
            (200, {"outcome": "accepted"}),
            (200, {**ACCEPTED, "actor": {}}),
            (200, {**ACCEPTED, "actor": "ann"}),
            (200, {**ACCEPTED, "actor": [["id", "ann"]]}),
            (200, {**ACCEPTED, "actor": None}),
            (200, {**ACCEPTED, "outcome": "Accepted"}),
            (200, {"outcomes": [ACCEPTED]}),
            (200, {"outcome": "rejected", "message": None}),
            (200, {"outcome": "failed", "handler": "signed", "code": "limit-cpu", "message": "no verdict"}),
            (200, {"active": True}),
            (201, ACCEPTED),
            (302, ACCEPTED, "Location: /"),
            (400, {"outcome": "not-mine"}),
            (401, {"error": "invalid_client"}),
            (404, {"error": "not_found"}),
            (500, "<html>"),
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ]:
            with self.subTest(answer=answer):
                async with Daemon(answer) as daemon:
                    await self.check(an_instance(daemon.url))
                    # Redirects are not followed.
                    self.assertEqual({head.split(" ")[1] for head, _ in daemon.asked}, {"/v1/verify"})

    async def test_a_503_is_passed_on_with_its_time(self):
        failed = {"outcome": "failed", "handler": "signed", "code": "unavailable", "message": "…"}
        for header, wanted in [("7", "7"), ("soon", "1"), ("99999", "1"), ("7\r\nRetry-After: 8", "1")]:
            async with Daemon((503, failed, f"Retry-After: {header}")) as daemon:
                await self.check(an_instance(daemon.url), wanted)

    async def test_nobody_listens(self):
        async with Daemon((200, ACCEPTED)) as daemon:
            pass
        await self.check(an_instance(daemon.url))

    async def test_it_answers_too_late_or_drop_by_drop(self):
        async def serve(reader, writer, _number):
            await read_request(reader)
            gone = asyncio.ensure_future(reader.read())
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".ljust(1000):
                await asyncio.wait([gone], timeout=0.02)
                if gone.done():
                    break
                if drops:
                    writer.write(bytes([byte]))
            await asyncio.gather(gone, return_exceptions=True)

        for drops in (False, True):
            async with serving(serve) as url:
                await asyncio.wait_for(self.check(an_instance(url, timeout=0.1)), 15)

    async def test_with_cors_a_page_may_read_it(self):
        async with Daemon((503, "")) as daemon:
            datasette = an_instance(daemon.url)
            datasette.cors = True
            answer = await who(datasette)
            self.assertEqual((answer.status_code, answer.headers["access-control-allow-origin"]), (503, "*"))

    async def test_a_401_of_others_stays_one(self):
        class Plugin:
            @hookimpl
            def actor_from_request(datasette, request):
                async def refuse():
                    raise TokenInvalid("theirs")

                return refuse()

        async with Daemon((200, {"outcome": "not-mine"})) as daemon:
            with self.other_plugin(Plugin):
                answer = await who(an_instance(daemon.url))
                self.assertEqual((answer.status_code, answer.json()["error"]), (401, "theirs"))


class Connections(Case):
    async def test_they_are_reused_and_bounded(self):
        async with Daemon((200, ACCEPTED)) as daemon:
            datasette = an_instance(daemon.url)
            for _ in range(20):
                self.assertEqual((await who(datasette)).status_code, 200)
            self.assertEqual(daemon.connections, 1)
            answers = await asyncio.gather(*(datasette.verify_token("t") for _ in range(200)))
            self.assertEqual(answers, [ACCEPTED["actor"]] * 200)
            self.assertLessEqual(daemon.connections, 16)

    async def test_a_burst_waits_its_turn(self):
        # Together, they take longer than the timeout.
        async with Daemon((200, ACCEPTED), delay=0.2) as daemon:
            datasette = an_instance(daemon.url, timeout=4)
            answers = await asyncio.gather(*(who(datasette) for _ in range(400)))
        self.assertEqual({(answer.status_code, answer.text) for answer in answers}, {(200, answers[0].text)})
        self.assertEqual(answers[0].json()["actor"], ACCEPTED["actor"])

    async def test_one_that_was_closed_in_the_meantime_is_replaced(self):
        async with Daemon((200, ACCEPTED), b"", (200, ACCEPTED)) as daemon:
            datasette = an_instance(daemon.url)
            for _ in range(2):
                self.assertEqual((await who(datasette)).status_code, 200)
            self.assertEqual((daemon.connections, len(daemon.asked)), (2, 3))

    async def test_but_no_token_is_made_twice(self):
        async with Daemon(b"", (201, {"token": "second"})) as daemon:
            with self.assertRaises(RuntimeError):
                await an_instance(daemon.url).create_token("ann")
            self.assertEqual(len(daemon.asked), 1)

    def test_each_event_loop_has_its_own(self):
        async def ask():
            async with Daemon((200, ACCEPTED)) as daemon:
                config = {"url": daemon.url, "client": "datasette", "secret": SECRET}
                asked.config = datasette_keyward.Config.read(config)
                return (await asked.ask("/v1/verify", {"token": "t"}))[1]

        asked = datasette_keyward.daemon.Daemon(None, datasette_keyward.VerdictUnavailable)
        self.assertEqual([asyncio.run(ask()) for _ in range(2)], [ACCEPTED] * 2)

    async def test_the_environment_does_not_lead_them_elsewhere(self):
        os.environ["HTTP_PROXY"] = os.environ["ALL_PROXY"] = "http://127.0.0.1:1"
        self.addCleanup(os.environ.pop, "HTTP_PROXY")
        self.addCleanup(os.environ.pop, "ALL_PROXY")
        async with Daemon((200, ACCEPTED)) as daemon:
            self.assertEqual((await who(an_instance(daemon.url))).status_code, 200)

    async def test_they_are_closed_at_the_end(self):
        async with Daemon((200, ACCEPTED)) as daemon:
            datasette = an_instance(daemon.url)
            await who(datasette)
            await datasette.invoke_shutdown()
            await asyncio.wait_for(asyncio.gather(*daemon.tasks), 5)


class Create(Case):
    async def asked(self, *args, **kwargs):
        settings = kwargs.pop("settings", {})
        async with Daemon((201, {"token": "made", "handler": "signed"})) as daemon:
            datasette = an_instance(daemon.url, **settings)
            self.assertEqual(await datasette.create_token(*args, **kwargs), "made")
        ((head, body),) = daemon.asked
        self.assertTrue(head.startswith("POST /v1/tokens HTTP/1.1\r\n"), head)
        return body

    async def test_keyward_is_asked_for_what_datasette_was_asked_for(self):
        self.assertEqual(await self.asked("ann"), {"actor": "ann"})
        self.assertEqual(await self.asked("ann", expires_after=0, restrictions=TokenRestrictions()), {"actor": "ann"})
        restrictions = TokenRestrictions().allow_all("view-instance").allow_database("db", "view-table")
        restrictions.allow_resource("db", "t", "insert-row")
        listed = {
            "all": ["view-instance"],
            "database": {"db": ["view-table"]},
            "resource": {"db": {"t": ["insert-row"]}},
        }
        self.assertEqual(
            await self.asked("ann", expires_after=60, restrictions=restrictions, settings={"handler": "partner"}),
            {"actor": "ann", "expires_after": 60, "restrictions": listed, "handler": "partner"},
        )
        listed = {"all": [], "database": {"db": []}, "resource": {}}
        self.assertEqual(
            await self.asked("ann", restrictions=TokenRestrictions(database={"db": []})),
            {"actor": "ann", "restrictions": listed},
        )

    async def test_datasettes_own_handler_stays_there_by_name(self):
        async with Daemon((500, "")) as daemon:
            datasette = an_instance(daemon.url)
            self.assertTrue((await datasette.create_token("ann", handler="signed")).startswith("dstok_"))
            with self.assertRaises(RuntimeError):
                await datasette.create_token("ann", handler="keyward")

    async def test_no_is_a_value_error_and_trouble_a_runtime_error(self):
        for status, error, wanted in [
            (400, "invalid_request", ValueError),
            (403, "access_denied", ValueError),
            (409, "disabled", ValueError),
            (401, "invalid_client", RuntimeError),
            (403, "unauthorized_client", RuntimeError),
            (503, "temporarily_unavailable", RuntimeError),
        ]:
            async with Daemon((status, {"error": error, "error_description": "the cause"})) as daemon:
                with self.assertRaises(wanted) as raised:
                    await an_instance(daemon.url).create_token("ann")
                self.assertIn("the cause" if wanted is ValueError else error, str(raised.exception))
        for answer in [(200, {"token": "made"}), (201, {}), (201, "made"), (201, {"token": None}), (302, ""), b""]:
            async with Daemon(answer) as daemon:
                with self.assertRaises(RuntimeError):
                    await an_instance(daemon.url).create_token("ann")


class Order(Case):
    """The handlers of several plugins. The first one issues tokens, and each verifies unless one before it did."""

    @staticmethod
    def plugin(named, **options):
        class Other(TokenHandler):
            name = named

            async def create_token(self, datasette, actor_id, **_):
                return named

        class Plugin:
            @hookimpl(**options)
            def register_token_handler(datasette):
                return Other()

        return Plugin

    async def test_it_does_not_depend_on_the_order_of_registration(self):
        early, late = self.plugin("early", tryfirst=True), self.plugin("late", tryfirst=True)
        plain, last = self.plugin("plain"), self.plugin("last", trylast=True)
        signed = ["signed", "last"]
        for first, wanted in [
            (True, ["keyward", "late", "early", "plain", *signed]),
            (False, ["late", "early", "plain", "keyward", *signed]),
        ]:
            for keyward_at in range(5):
                others = [early, plain, last, late]
                plugins = [*others[:keyward_at], datasette_keyward, *others[keyward_at:]]
                pm.unregister(datasette_keyward)
                with contextlib.ExitStack() as registered:
                    registered.callback(pm.register, datasette_keyward, "datasette_keyward")
                    for plugin in plugins:
                        registered.enter_context(self.other_plugin(plugin))
                    async with Daemon((201, {"token": "keyward"})) as daemon:
                        datasette = an_instance(daemon.url, first=first)
                        self.assertEqual([handler.name for handler in datasette._token_handlers()], wanted)
                        self.assertEqual(await datasette.create_token("ann"), wanted[0])

    async def test_without_others_keyward_is_before_datasette(self):
        for first in (True, False):
            datasette = an_instance("http://127.0.0.1:1", first=first)
            self.assertEqual([handler.name for handler in datasette._token_handlers()], ["keyward", "signed"])

    @unittest.skipUnless(importlib.util.find_spec("datasette_auth_tokens"), "datasette-auth-tokens is not installed")
    async def test_beside_datasette_auth_tokens(self):
        for first, wanted in [(True, "made"), (False, "dsatok_")]:
            async with Daemon((201, {"token": "made"})) as daemon:
                datasette = an_instance(daemon.url, {"datasette-auth-tokens": {"manage_tokens": True}}, first=first)
                await datasette.invoke_startup()
                self.assertTrue((await datasette.create_token("ann")).startswith(wanted))
                token = await datasette.create_token("ann", handler="dsatok")
                daemon.answers[:] = [(200, {"outcome": "not-mine"})]
                self.assertEqual((await datasette.verify_token(token))["id"], "ann")
            # Tokens of a handler before Keyward need no Keyward.
            if first:
                with self.assertRaises(datasette_keyward.VerdictUnavailable):
                    await datasette.verify_token(token)
            else:
                self.assertEqual((await datasette.verify_token(token))["id"], "ann")


NO_URLS = ["", "127.0.0.1:8787", "ftp://h", "http://", "http://h:0x1", "http://h:0", "http://h:99999", "http://[::1"]
WITH_MORE = ["http://u:p@h", "http://h/v1", "http://h?x", "http://h#x", "http://h h", "http://a..b"]


class Menu(Case):
    async def test_users_find_the_pages_in_the_menu(self):
        pages = "https://tokens.example.org/tokens"
        for settings, actor, expected in (
            ({"pages": pages}, {"id": "ann"}, [{"href": pages, "label": "API tokens"}]),
            ({"pages": pages}, {"id": "ann", "token": "dstok"}, []),
            ({"pages": pages}, None, []),
            ({}, {"id": "ann"}, []),
        ):
            datasette = an_instance("http://127.0.0.1:1", **settings)
            self.assertEqual(datasette_keyward.menu_links(datasette, actor), expected)
            cookies = {"ds_actor": datasette.client.actor_cookie(actor)} if actor and "token" not in actor else {}
            page = await datasette.client.get("/", cookies=cookies)
            self.assertEqual(f'href="{pages}"' in page.text, bool(expected), (settings, actor))


class Configuration(Case):
    GOOD = {"url": "http://127.0.0.1:8787", "client": "datasette", "secret": SECRET}

    async def test_without_it_datasette_is_as_it_was(self):
        datasette = Datasette(memory=True)
        token = await datasette.create_token("ann")
        self.assertEqual((await who(datasette, token)).json()["actor"], {"id": "ann", "token": "dstok"})

    async def test_what_is_wrong_is_said_at_the_start_without_the_secret(self):
        for change, told in [
            ({"urls": "x"}, "urls: is not one of"),
            ({"url": None}, "url: must be a string"),
            ({"secret": {"$env": "KEYWARD_NO_SUCH"}}, "secret: must be a string; is its environment variable set"),
            ({"secret": "too short to be one"}, "secret: must be the one"),
            ({"secret": SECRET + "é"}, "secret: must be the one"),
            ({"client": "a:b"}, "client: must be an id"),
            ({"handler": 1}, "handler: must be the name"),
            ({"first": "no"}, "first: must be true or false"),
            ({"timeout": 0}, "timeout: must be a number"),
            ({"timeout": 61}, "timeout: must be a number"),
            ({"timeout": float("nan")}, "timeout: must be a number"),
            ({"timeout": "1"}, "timeout: must be a number"),
            ({"timeout": True}, "timeout: must be a number"),
            ({"pages": "javascript:alert(1)"}, "pages: must be of the form"),
            ({"pages": 7}, "pages: must be of the form"),
            *(({"url": url}, "url: must be of the form") for url in NO_URLS + WITH_MORE),
        ]:
            with self.subTest(change=change):
                plugins = {datasette_keyward.PLUGIN: {**self.GOOD, **change}}
                datasette = Datasette(memory=True, config={"plugins": plugins})
                with self.assertRaises(StartupError) as raised:
                    await datasette.invoke_startup()
                self.assertIn(f"plugins.datasette-keyward: {told}", str(raised.exception))
                self.assertNotIn(str(plugins[datasette_keyward.PLUGIN]["secret"]), str(raised.exception))
                # A caller that continues has no handler at all.
                with self.assertRaises(StartupError):
                    await datasette.verify_token("t")
        with self.assertRaises(StartupError):
            datasette_keyward.Config.read("x")

    def test_what_is_right_is_taken(self):
        for change in [{"secret": SECRET + "\n"}, {"url": "https://[::1]:1/"}, {"handler": "a", "timeout": 0.5}]:
            config = datasette_keyward.Config.read({**self.GOOD, **change})
            self.assertEqual(config.secret, SECRET)
            self.assertNotIn(SECRET, repr(config))


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


class Log(unittest.IsolatedAsyncioTestCase):
    def test_it_is_short(self):
        failed, again = (
            "No verdict from Keyward: why",
            "Keyward gives verdicts again; {} more were missing in the meantime",
        )
        more = " (and {} more since the last report)"
        for events, wanted in [
            # Seconds, and whether there is a verdict.
            ([(0, True), (1, True)], []),
            ([(0, False)], [failed]),
            ([(0, False), (9, False), (59, False)], [failed]),
            (
                [(0, False), (9, False), (60, False), (70, False), (120, False)],
                [failed, *[failed + more.format(1)] * 2],
            ),
            ([(0, False), (9, False), (10, True), (11, True)], [failed, again.format(1)]),
            ([(0, False), (90, False), (91, True)], [failed, failed, again.format(0)]),
            # One of several handlers fails.
            ([(n / 10, n % 2 == 1) for n in range(600)], [failed, again.format(0)]),
            (
                [(n / 10, n % 2 == 1) for n in range(602)],
                [failed, again.format(0), failed + more.format(299), again.format(0)],
            ),
        ]:
            clock = Clock()
            outages = datasette_keyward.daemon.Outages(clock)
            with self.subTest(events=events), self.assertLogs(level=logging.INFO) as logged:
                logging.info("the first line")
                for seconds, is_verdict in events:
                    clock.now = 1000 + seconds
                    outages.verdict() if is_verdict else outages.no_verdict("why")
                self.assertEqual([record.getMessage() for record in logged.records][1:], wanted)

    async def test_an_absent_daemon_is_reported_once(self):
        async with Daemon((200, ACCEPTED)) as daemon:
            datasette = an_instance(daemon.url)
        with self.assertLogs(level=logging.INFO) as logged:
            for _ in range(20):
                self.assertEqual((await who(datasette)).status_code, 503)
        self.assertEqual(sum("No verdict" in line for line in logged.output), 1, logged.output)

    async def test_it_says_why_and_no_secret(self):
        for answer, told in [
            (b"", "the connection ended before a response"),
            ((401, {"error": "invalid_client"}), "status 401 (invalid_client); check `client` and `secret`"),
            ((421, {"error": "misdirected_request"}), "check Keyward's `hosts`"),
            ((429, {"error": "too_many_requests"}), "status 429 (too_many_requests); check the client's `rate`"),
            ((500, {"error": "A-TOKEN"}), "status 500"),
            ((200, {"outcome": "accepted", "actor": "A-TOKEN"}), "status 200"),
            ((200, "A-TOKEN"), "JSONDecodeError"),
        ]:
            async with Daemon(answer) as daemon:
                with self.assertLogs(level=logging.INFO) as logged:
                    await who(an_instance(daemon.url), "A-TOKEN")
            text = "\n".join(logged.output)
            self.assertIn(told, text)
            self.assertNotIn("A-TOKEN", text)
            self.assertNotIn(SECRET, text)
