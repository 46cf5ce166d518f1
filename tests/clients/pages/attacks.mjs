// Pages of other origins that attack the pages of a person who is signed in, in the same browser.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Visit } from "./visit.mjs";

let forms = 0;

// Returns the value of a new form: its time and a text that no other form has.
const new_form = () => `${Math.floor(Date.now() / 1000)}-${String(forms++).padStart(43, "A")}`;

// The ways to send a request: the method, and the page that sends it to `url` with these fields.
const WAYS = {
    "form": ["POST", (url, fields) => `<form id=go method=post action="${url}">${inputs(fields)}</form>${SEND}`],
    "form as text/plain": [
        "POST",
        (url, fields) => `<form id=go method=post enctype=text/plain action="${url}">${inputs(fields)}</form>${SEND}`,
    ],
    "form with _method": [
        "POST",
        (url, fields) => `<form id=go method=post action="${url}?_method=GET">${inputs(fields)}</form>${SEND}`,
    ],
    "form in a sandbox": [
        "POST",
        (url, fields) => {
            const form = `<form id=go method=post target=_top action="${url}">${inputs(fields)}</form>${SEND}`;
            const sandbox = "allow-forms allow-scripts allow-top-navigation";
            return `<iframe sandbox="${sandbox}" srcdoc="${escaped(form)}"></iframe>`;
        },
    ],
    "fetch": ["POST", (url, fields) => fetching(url, { method: "POST", mode: "no-cors", body: body(fields) })],
    "fetch with an override": [
        "POST",
        (url, fields) =>
            fetching(url, { method: "POST", headers: { "X-HTTP-Method-Override": "GET" }, body: body(fields) }),
    ],
    "form with GET": [
        "GET",
        (url, fields) => `<form id=go action="${url}">${inputs({ _method: "POST", ...fields })}</form>${SEND}`,
    ],
    "image": ["GET", (url, fields) => `<img src="${escaped(`${url}?_method=POST&${body(fields)}`)}">`],
};
const SEND = "<script>go.submit()</script>";

const inputs = (fields) =>
    Object.entries(fields).map(([name, value]) => `<input type=hidden name="${name}" value="${value}">`).join("");
const body = (fields) => new URLSearchParams(fields).toString();
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
const fetching = (url, { body, ...options }) => {
    const headers = { "Content-Type": "application/x-www-form-urlencoded", ...options.headers };
    const all = JSON.stringify({ credentials: "include", ...options, headers, body });
    return `<script>fetch("${url}", ${all}).catch(() => {})</script>`;
};

// Runs all attacks. `link` signs in the person `ann`, whose only token is at `path`, and `foreign`
// is a link of the attacker `mallory`. `strange` is an actor whose id is HTML, with such a token.
export async function attack(world, { link, path, foreign, strange }) {
    let html = "";
    const server = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(html));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const visit = await Visit.open(world);
    await visit.sign_in(link, "ann");
    const requests = [];
    // The first one is of another site, and the second one of another origin of the same site.
    for (const host of ["127.0.0.1", "localhost"]) {
        // Runs an attack in a window of its own: a page may still load another one when it ends.
        const run = async (work) => {
            const page = await visit.context.newPage();
            const show = async (text) => {
                html = text;
                await page.goto(`http://${host}:${server.address().port}/`, { waitUntil: "commit" });
            };
            await work(page, show);
            await page.close();
        };
        for (const [target, fields] of Object.entries(targets(path, foreign))) {
            for (const [way, [method, write]] of Object.entries(WAYS)) {
                await run(async (page, show) => {
                    const end = ended(page, method, target);
                    await show(write(world.site + target, { form: new_form(), ...fields }));
                    requests.push({ host, way, method, target, ...(await end) });
                });
            }
        }
        const framed = [path, `${path}/revoke`, "/tokens", new URL(foreign).pathname];
        await run((page, show) => frame(page, show, framed, world.site));
        await run((page, show) => read(page, show, world.site));
        await run((page, show) => come(page, show, world.site, host === "127.0.0.1"));
    }
    server.close();
    await visit.follow(visit.link("API tokens"));
    await visit.check("list after the attacks", "Your API tokens");
    assert.equal(await visit.page.locator(".tokens > li.active").count(), 1);
    const { wrong } = await visit.end();

    wrong.push(...(await use_once(world, foreign)));
    wrong.push(...(await show_strange_text(world, strange)));
    return { requests, wrong };
}

// Returns the paths that forms are sent to, with the fields of each form.
function targets(path, foreign) {
    const terms = { description: "changed", handler: "stored", lifetime: "3600", rights: "all" };
    return {
        "/tokens/new": { step: "create", ...terms },
        [`${path}/edit`]: { description: "changed" },
        [`${path}/rotate`]: { overlap: "0" },
        [`${path}/revoke`]: {},
        [new URL(foreign).pathname]: {},
        "/tokens/logout": {},
    };
}

// Returns the end of the request for this path: its status, which is missing if the browser did not
// send it or keeps the response from the page, and whether it had a cookie.
async function ended(page, method, target) {
    const is_target = (request) => request.method() === method && new URL(request.url()).pathname === target;
    const request = await Promise.race([
        page.waitForEvent("requestfinished", is_target),
        page.waitForEvent("requestfailed", is_target),
    ]);
    const headers = await request.allHeaders();
    const response = request.failure() ? null : await request.response();
    return { status: response?.status(), cookie: "cookie" in headers };
}

// Shows pages in frames, where a person could be made to press their buttons.
async function frame(page, show, paths, site) {
    for (const path of paths) {
        const url = site + path;
        await show(`<iframe src="${url}"></iframe><object data="${url}"></object><embed src="${url}">`);
        await page.waitForLoadState("load");
        for (const child of page.frames().slice(1)) {
            // The browser removes some of them instead.
            const content = await child.content().catch(() => "");
            assert(!content.includes("<main"), `${path} is in a frame`);
        }
    }
}

// Reads a page with scripts.
async function read(page, show, site) {
    await show("");
    for (const mode of ["cors", "no-cors"]) {
        const text = await page.evaluate(
            ([url, mode]) =>
                fetch(url, { credentials: "include", mode })
                    .then((response) => response.text())
                    .catch(() => ""),
            [`${site}/tokens`, mode],
        );
        assert.equal(text, "", mode);
    }
}

// Follows a link. On another site, the browser withholds the cookie until the page reloads itself.
async function come(page, show, site, is_other_site) {
    const paths = [];
    page.on("request", (request) => {
        const { origin, pathname, search } = new URL(request.url());
        if (origin === site && request.isNavigationRequest()) {
            paths.push(pathname + search);
        }
    });
    await show(`<a href="${site}/tokens">x</a>`);
    await page.getByRole("link").click();
    await page.getByText("Signed in as ann").waitFor();
    assert.deepEqual(paths, is_other_site ? ["/tokens", "/tokens?again=1"] : ["/tokens"]);
}

// Uses a link, and then the same link in another browser.
async function use_once(world, link) {
    const [first, second] = [await Visit.open(world), await Visit.open(world)];
    await first.sign_in(link, "mallory");
    await first.check("empty list", "Your API tokens");
    await second.go(link);
    await second.check("link that was used", "The link is not valid", 404);
    await second.go(`${world.site}/tokens`);
    await second.check("not signed in", "You are not signed in", 403);
    return [await first.end(), await second.end()].flatMap(({ wrong }) => wrong);
}

// Visits every page of a token whose texts are HTML, change the direction of text, or are long.
async function show_strange_text(world, { link, actor, description }) {
    const visit = await Visit.open(world, { width: 320 });
    const { page } = visit;
    const check = async (state, texts, status) => {
        await visit.check(`strange ${state}`, null, status);
        const shown = await page.locator("body").innerText();
        for (const text of texts) {
            assert(shown.includes(text), `${state}: ${text}: ${shown}`);
        }
        assert(shown.search(INVISIBLE) < 0, `${state}: ${shown}`);
        assert.equal(await page.locator("img, svg, b, iframe, script:not([src])").count(), 0, state);
    };
    const texts = [actor, description, '"><svg onload=alert(1)>', "<b>\u{202e}x</b>"].map(visible);
    await visit.go(link);
    await check("login", texts.slice(0, 1));
    await visit.follow(page.getByRole("button"));
    await check("list", texts);
    await visit.follow(page.locator(".tokens h2 a"));
    await check("token", texts);
    await visit.follow(visit.link("Revoke the token…"));
    await check("question", texts);
    await visit.go(`${world.site}/tokens/new?database0=%3Cb%3E&all=%3Cb%3E`);
    await page.locator("#description").fill(description);
    await visit.follow(visit.button("Review the token"));
    await check("form", texts.slice(0, 1), 422);
    const long = `<img src=x onerror=alert(1)>${"W".repeat(150)}`;
    await page.locator("#description").fill(long);
    await page.locator("#resource0").fill(`<b>\u{202e}${"x".repeat(150)}</b>`);
    await visit.group("On database 1").getByRole("checkbox", { name: "view-table" }).check();
    await visit.group("On everything").getByRole("checkbox", { name: "view-table" }).check();
    await visit.follow(visit.button("Review the token"));
    await check("review", [long, "<b>\\u{202e}xxx", "view-table, <b> on everything"]);
    await visit.follow(visit.button("Create the token"));
    await check("refusal", [long, "`<b>`"], 422);
    await visit.follow(visit.button("Change it"));
    await check("form again", texts.slice(0, 1));
    await page.locator("#all-others").fill("");
    await visit.follow(visit.button("Review the token"));
    await visit.follow(visit.button("Create the token"));
    await check("new token", ["<b>\\u{202e}xxx"]);
    return (await visit.end()).wrong;
}

const INVISIBLE = /[\u{200b}\u{202a}-\u{202e}\u{2066}-\u{2069}]/gu;

// Returns a text with its invisible characters written out, as the pages show it.
function visible(text) {
    return text.replace(INVISIBLE, (char) => `\\u{${char.codePointAt().toString(16)}}`);
}
