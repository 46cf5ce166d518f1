// Visits the pages of `keyward serve` in Chromium. Reads a task as JSON from standard input, and
// writes its result as JSON to standard output. The arguments are the browser and the folders of
// the packages `playwright-core` and `axe-core`.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { attack } from "./pages/attacks.mjs";
import { flow } from "./pages/flow.mjs";
import { take } from "./pages/pictures.mjs";

const [program, playwright, axe_core] = process.argv.slice(2);
const { chromium } = createRequire(join(playwright, "package.json"))("playwright-core");
const axe = readFileSync(join(axe_core, "axe.min.js"), "utf8");
const task = JSON.parse(readFileSync(0, "utf8"));

const browser = await chromium.launch({
    executablePath: program,
    env: { ...process.env, HOME: task.profile },
    args: [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // No request leaves this machine.
        "--no-proxy-server",
        "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
});
const world = { browser, axe, site: task.site };
const tasks = {
    flows: async ({ runs }) => {
        const results = [];
        for (const run of runs) {
            results.push(await flow(world, run));
        }
        return results;
    },
    attacks: (task) => attack(world, task),
    pictures: (task) => take(world, task),
};
const result = await tasks[task.name](task);
await browser.close();
process.stdout.write(JSON.stringify(result));
