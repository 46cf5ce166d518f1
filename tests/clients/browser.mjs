// Visits pages in Chromium that send requests to an application, as a user with a cookie of that
// application. Reads the visits as JSON from standard input, and writes the paths of the requests
// that have ended as JSON to standard output. The arguments are the browser and the folder of the
// package `playwright-core`.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:https";
import { join } from "node:path";

const [browser, package_folder] = process.argv.slice(2);
const { chromium } = createRequire(join(package_folder, "package.json"))("playwright-core");
const { application, certificate, key, profile, visits } = JSON.parse(readFileSync(0, "utf8"));

// The server of the other origins.
const server = createServer({ cert: certificate, key }, (request, response) => {
    const [visit, page] = request.url.split("/").slice(1);
    response.setHeader("Content-Type", "text/html");
    response.end(visits[visit]?.pages[page]?.html);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

// Debian's Chromium disables third-party cookies by default.
mkdirSync(join(profile, "Default"), { recursive: true });
writeFileSync(join(profile, "Default/Preferences"), JSON.stringify({ profile: { cookie_controls_mode: 0 } }));

const context = await chromium.launchPersistentContext(profile, {
    executablePath: browser,
    env: { ...process.env, HOME: profile },
    ignoreHTTPSErrors: true,
    args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // No request leaves this machine.
        "--no-proxy-server",
        "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP *.example.net 127.0.0.1, MAP * ~NOTFOUND",
    ],
});
const page = await context.newPage();
const ended = [];
for (const [visit, { cookie, host, pages }] of visits.entries()) {
    await context.clearCookies();
    await page.goto(`${application}/public/`);
    await page.evaluate((cookie) => (document.cookie = cookie), cookie);
    for (const [at, { target }] of pages.entries()) {
        const is_target = (request) => new URL(request.url()).pathname === target;
        const end = Promise.race([
            page.waitForEvent("requestfinished", is_target),
            page.waitForEvent("requestfailed", is_target),
            page.waitForEvent("websocket").then((socket) => socket.waitForEvent("socketerror")),
        ]);
        // Most pages navigate before they have been loaded.
        await page.goto(`https://${host}:${server.address().port}/${visit}/${at}`, { waitUntil: "commit" });
        await end;
        ended.push(target);
    }
}
await context.close();
server.close();
process.stdout.write(JSON.stringify(ended));
