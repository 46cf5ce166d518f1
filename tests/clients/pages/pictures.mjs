// Pictures of the pages for the documentation.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { smaller } from "./png.mjs";
import { Visit } from "./visit.mjs";

// Takes all pictures, as `alice`, whom both links sign in.
export async function take(world, { folder, link, narrow_link }) {
    const visit = await Visit.open(world);
    const { page } = visit;
    // A picture is as high as its page.
    await page.setViewportSize({ width: 1280, height: 100 });
    await visit.go(link);
    await picture(visit, folder, "login");
    await visit.follow(visit.button("Sign in as alice"));
    await picture(visit, folder, "list");
    await visit.follow(visit.link("Create a token"));
    await visit.field("Description").fill("Stock levels in the warehouse");
    await visit.field("Only these:").check();
    const database = visit.group("On database 1");
    await database.getByRole("textbox", { name: "Database" }).fill("shop");
    await database.getByRole("textbox", { name: "Resource" }).fill("stock");
    await database.getByLabel("insert-row").check();
    await database.getByLabel("view-table").check();
    await picture(visit, folder, "new");
    await visit.follow(visit.button("Review the token"));
    await picture(visit, folder, "review");
    await visit.follow(visit.button("Create the token"));
    await picture(visit, folder, "created");
    await visit.follow(visit.link("This token"));
    await picture(visit, folder, "token");
    await visit.follow(visit.link("Revoke the token…"));
    await picture(visit, folder, "revoke");
    const { wrong } = await visit.end();

    const narrow = await Visit.open(world, { width: 320, scheme: "dark" });
    await narrow.page.setViewportSize({ width: 320, height: 100 });
    await narrow.sign_in(narrow_link, "alice");
    await picture(narrow, folder, "list-narrow-dark");
    wrong.push(...(await narrow.end()).wrong);
    return { wrong };
}

async function picture({ page }, folder, name) {
    await page.evaluate(steady);
    await page.mouse.move(0, 0);
    const png = await page.screenshot({ fullPage: true, animations: "disabled", caret: "hide" });
    writeFileSync(join(folder, `${name}.png`), smaller(png));
}

// Replaces what differs from run to run: random values and times. Runs in the page.
function steady() {
    document.activeElement.blur();
    const random = "Rm3vTqXb81LzKdYw5HcN0sUeFgPjA7oVi9MxB2nQtGrWyZ64CkEaJhDuSpflO";
    const at = (place, length) => (random.slice(place) + random).slice(0, length);
    const hrefs = [...document.querySelectorAll("a, form")].map((element) => element.href ?? element.action);
    const ids = hrefs.map((href) => /of\/\w+\/(\w+)/.exec(href)?.[1]).filter(Boolean);
    const texts = [
        [/\d+ seconds? ago/, "now"],
        [/\d{4}-\d\d-\d\d \d\d:\d\d/, "2030-01-31 12:00"],
        [/29 days/, "30 days"],
    ];
    for (const [place, id] of [...new Set(ids)].entries()) {
        texts.push([id, at(7 * place, id.length)], [id.slice(0, 6), at(7 * place, 6)]);
    }
    const nodes = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) {
        for (const [old, text] of texts) {
            nodes.currentNode.data = nodes.currentNode.data.replace(old, text);
        }
    }
    const token = document.getElementById("token");
    if (token) {
        token.value = token.value.replace(/(?<=_)[^_]+$/, (secret) => at(0, 61) + at(9, secret.length - 61));
    }
}
