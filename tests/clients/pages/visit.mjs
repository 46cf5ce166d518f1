// A visit of the pages, in a browser context of its own. Everything that is wrong is collected.

import assert from "node:assert/strict";
import { Person } from "./person.mjs";

// WCAG 2.2, level AA.
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

export class Visit {
    static async open({ browser, axe, site }, { scripts = true, mouse = true, width = 1280, scheme = "light" } = {}) {
        const context = await browser.newContext({
            viewport: { width, height: 800 },
            colorScheme: scheme,
            permissions: ["clipboard-read", "clipboard-write"],
        });
        const page = await context.newPage();
        const visit = new Visit();
        Object.assign(visit, { context, page, axe, site, scripts, person: new Person(page, mouse) });
        visit.devtools = await context.newCDPSession(page);
        // The option of Playwright would also disable the scripts of axe-core.
        await visit.devtools.send("Emulation.setScriptExecutionDisabled", { value: !scripts });
        visit.listen();
        return visit;
    }

    // Collects requests, responses and errors.
    listen() {
        this.wrong = [];
        this.errors = [];
        this.requests = [];
        this.responses = [];
        this.page.on("request", (request) => {
            this.requests.push([request.url(), JSON.stringify(request.headers()), request.postData()].join("\n"));
            if (new URL(request.url()).origin !== this.site) {
                this.errors.push(`request to ${request.url()}`);
            }
        });
        this.page.on("response", (response) => {
            if (response.request().isNavigationRequest()) {
                this.status = response.status();
            }
            this.responses.push(whole(response));
        });
        // Violations of the content security policy are among them.
        this.page.on("console", (message) => {
            if (message.type() === "error") {
                this.errors.push(message.text());
            }
        });
        this.page.on("pageerror", (error) => this.errors.push(`${error}`));
        this.page.on("dialog", async (dialog) => {
            this.errors.push(`dialog: ${dialog.message()}`);
            await dialog.dismiss();
        });
    }

    button(name) {
        return this.page.getByRole("button", { name, exact: true });
    }

    link(name) {
        return this.page.getByRole("link", { name, exact: true });
    }

    field(name) {
        return this.page.getByLabel(name, { exact: true });
    }

    group(name) {
        return this.page.getByRole("group", { name, exact: true });
    }

    // Does what loads a page, and waits until it is loaded.
    async loads(work) {
        await Promise.all([this.page.waitForEvent("load"), work()]);
        // The browser forgets the bodies when it leaves the page.
        await Promise.all(this.responses);
    }

    async go(url) {
        await this.loads(() => this.page.goto(url));
    }

    // Presses a link or a button that leads to another page.
    async follow(target) {
        await this.loads(() => this.person.press(target));
    }

    async sign_in(link, actor) {
        await this.go(link);
        await this.check("login");
        await this.follow(this.button(`Sign in as ${actor}`));
    }

    // Runs work that needs scripts, also if the page may not run any.
    async with_scripts(work) {
        await this.devtools.send("Emulation.setScriptExecutionDisabled", { value: false });
        const done = await work();
        await this.devtools.send("Emulation.setScriptExecutionDisabled", { value: !this.scripts });
        return done;
    }

    // Checks the page in this state: its heading, the status, the rules of accessibility, the
    // width, and errors since the last check.
    async check(state, heading, status = 200) {
        const say = (text) => this.wrong.push(`${state}: ${text}`);
        if (heading) {
            const shown = await this.page.locator("h1").textContent();
            assert(shown.startsWith(heading), `${state}: ${shown}`);
        }
        assert.equal(this.status, status, state);
        // The browser reports the expected status as an error.
        this.errors.filter((error) => !error.includes(` status of ${status} `)).forEach(say);
        this.errors = [];
        const violations = await this.with_scripts(async () => {
            await this.page.evaluate(this.axe);
            return await this.page.evaluate(
                async (rules) => (await axe.run(document, { runOnly: rules, resultTypes: ["violations"] })).violations,
                RULES,
            );
        });
        for (const { id, nodes } of violations) {
            say(`${id}: ${nodes.map(({ html }) => html).join(" ")}`);
        }
        const [needed, given] = await this.page.evaluate(() => {
            const { scrollWidth, clientWidth } = document.scrollingElement;
            return [scrollWidth, clientWidth];
        });
        if (needed > given) {
            say(`is ${needed} px wide, of ${given} px`);
        }
    }

    // Ends the visit. Returns everything that was wrong, and for each secret the number of
    // responses with it, and of other places.
    async end(secrets = []) {
        const responses = await Promise.all(this.responses);
        const { entries } = await this.devtools.send("Page.getNavigationHistory");
        const state = await this.context.storageState();
        const others = [...this.requests, ...responses.map(({ head }) => head), JSON.stringify([entries, state])];
        const count = (texts, secret) => texts.filter((text) => text.includes(secret)).length;
        const bodies = responses.map(({ body }) => body);
        const found = secrets.map((secret) => [secret, count(bodies, secret), count(others, secret)]);
        await this.context.close();
        return { wrong: [...this.wrong, ...this.errors], secrets: found };
    }
}

// Returns the head and the body of a response.
async function whole(response) {
    const head = JSON.stringify(await response.headersArray());
    const is_redirect = response.status() >= 300 && response.status() < 400;
    return { head, body: is_redirect ? "" : await response.text() };
}
