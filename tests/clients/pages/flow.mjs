// Everything that a person does on the pages, from signing in to signing out.

import assert from "node:assert/strict";
import { Visit } from "./visit.mjs";

// Runs all steps. Returns what `Visit.end` returns. `link` signs in `actor`, who has no tokens, and
// `many` signs in the actor `many`, who has more than a page of them.
export async function flow(world, { name, actor, link, many, ...settings }) {
    const visit = await Visit.open(world, settings);
    try {
        await visit.sign_in(link, actor);
        const first = await create(visit);
        await filter(visit);
        await change(visit);
        const second = await renew(visit);
        await revoke(visit);
        const third = await create_signed(visit);
        await sign_out(visit);
        await browse(visit, many);
        return { name, ...(await visit.end([first, second, third])) };
    } catch (error) {
        const page = await visit.page.locator("body").innerText();
        throw new Error(`${name}: at ${visit.page.url()}:\n${page}\n${visit.wrong.join("\n")}`, { cause: error });
    }
}

// Creates a token after some errors, and returns it.
async function create(visit) {
    const { page, person } = visit;
    await visit.check("empty list", "Your API tokens");
    await page.getByText("You have no tokens yet").waitFor();
    if (!person.has_mouse) {
        await person.skip_to_content();
    }
    await visit.follow(visit.link("Create a token"));
    await visit.check("form", "Create a token");

    await person.choose(visit.field("It expires in"), "604800");
    await person.choose_second(visit.field("Everything that you may do"), visit.field("Only these:"));
    await person.toggle(visit.group("On everything").getByLabel("view-instance"));
    const database = visit.group("On database 1");
    await person.fill(database.getByRole("textbox", { name: "Database" }), "shop");
    await person.fill(database.getByRole("textbox", { name: "Resource" }), "orders");
    await person.toggle(database.getByLabel("insert-row"));

    // The browser sends no form with an empty description.
    const description = visit.field("Description");
    await person.press(visit.button("Review the token"));
    assert(await person.has_reached(description));
    await visit.check("form that was not sent", "Create a token");
    await description.evaluate((field) => field.removeAttribute("required"));
    await visit.follow(visit.button("Review the token"));
    await visit.check("form with errors", "Error: create a token", 422);
    const error = "Enter a description, so that you can recognize the token later.";
    await person.press(page.getByRole("alert").getByRole("link", { name: error }));
    assert(await person.has_reached(description));
    const told = await description.evaluate((field) => [
        field.getAttribute("aria-invalid"),
        ...field.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent),
    ]);
    assert.deepEqual([told[0], told.at(-1)], ["true", error]);

    await person.fill(description, "Nightly import");
    await visit.follow(visit.button("Add a database"));
    await visit.check("form with another database", "Create a token");
    const another = visit.group("On database 2");
    const name = another.getByRole("textbox", { name: "Database" });
    assert(await person.has_reached(name), "the page begins at the new field");
    await person.fill(name, "blog");
    await person.toggle(another.getByLabel("view-table"));
    // Enter in a field sends the form.
    await visit.loads(() => name.press("Enter"));
    await visit.check("review", "Review the token");
    for (const text of [
        "Nightly import",
        "in 7 days",
        "view-instance on everything",
        "insert-row on orders in the database shop",
        "view-table on the database blog",
    ]) {
        await page.locator("main").getByText(text, { exact: true }).waitFor();
    }
    await visit.follow(visit.button("Create the token"));
    const token = await copy(visit);

    // The browser sends the form again.
    await visit.loads(() => page.reload());
    await visit.check("form that was sent before", "This form was already sent", 409);
    await visit.follow(visit.link("Your API tokens"));
    await visit.check("list", "Your API tokens");
    assert.equal(await page.locator(".tokens > li").count(), 1);
    return token;
}

// Copies a new token, and returns it.
async function copy(visit) {
    const { page, person } = visit;
    const field = visit.field("Token");
    const token = await field.inputValue();
    const button = visit.button("Copy the token");
    assert.equal(await button.isVisible(), visit.scripts);
    if (visit.scripts) {
        await person.press(button);
        await page.getByRole("status").getByText("Copied.").waitFor();
    } else {
        await (person.has_mouse ? field.click() : person.reach(field));
        await page.keyboard.press("Control+A");
        await page.keyboard.press("Control+C");
    }
    assert.equal(await visit.with_scripts(() => page.evaluate(() => navigator.clipboard.readText())), token);
    await visit.check("new token", "Your new token");
    return token;
}

async function filter(visit) {
    const { page, person } = visit;
    for (const [status, count] of [["revoked", 0], ["active", 1]]) {
        await person.choose(visit.field("Status"), status);
        await visit.follow(visit.button("Show"));
        await visit.check(`list of ${status} tokens`, "Your API tokens");
        assert.equal(await page.locator(".tokens > li").count(), count, status);
    }
}

// Changes the description, and keeps fewer rights.
async function change(visit) {
    const { page, person } = visit;
    await visit.follow(visit.link("Nightly import"));
    await visit.check("token", "Nightly import");
    const description = visit.field("Description");
    await person.fill(description, " ");
    await visit.follow(visit.button("Save"));
    await visit.check("token with an error", "Error: Nightly import", 422);
    await page.getByRole("alert").waitFor();
    await person.fill(description, "Import");
    await person.toggle(visit.group("Rights to keep").getByLabel("insert-row on orders in the database shop"));
    await visit.follow(visit.button("Save"));
    await visit.check("changed token", "Import");
    await page.getByRole("status").getByText("The token is changed.").waitFor();
    assert.equal(await page.locator("dl").getByText("insert-row").count(), 0);
}

// Replaces the token by another one, which it returns. Both are valid for five minutes.
async function renew(visit) {
    await visit.person.choose(visit.field("This one stops being valid"), "300");
    await visit.follow(visit.button("Renew the token"));
    await visit.page.getByText("The token that it replaces is valid until").waitFor();
    return await copy(visit);
}

// Revokes the new token.
async function revoke(visit) {
    const { page } = visit;
    await visit.follow(visit.link("This token"));
    await visit.follow(visit.link("Revoke the token…"));
    await visit.check("question", "Revoke a token");
    await visit.follow(visit.button("Revoke the token"));
    await visit.check("revoked token", "Import");
    await page.getByRole("status").getByText("The token is revoked: it is no longer valid.").waitFor();
}

// Creates a signed token, which cannot be changed, with a link that fills in the form.
async function create_signed(visit) {
    await visit.go(`${visit.site}/tokens/new?handler=signed&description=Laptop&lifetime=86400`);
    await visit.follow(visit.button("Review the token"));
    await visit.follow(visit.button("Create the token"));
    const token = await copy(visit);
    await visit.follow(visit.link("This token"));
    await visit.check("signed token", "Laptop");
    await visit.page.getByText("so they cannot be changed").waitFor();
    return token;
}

async function sign_out(visit) {
    await visit.follow(visit.button("Sign out"));
    await visit.check("signed out", "You are not signed in", 403);
}

// Looks at all pages of a long list, and at one of its tokens, which are not restricted.
async function browse(visit, link) {
    const { page } = visit;
    await visit.sign_in(link, "many");
    const seen = new Set();
    for (let number = 1; ; number++) {
        await visit.check(`page ${number} of a list`, "Your API tokens");
        for (const title of await page.locator(".tokens h2 a").allTextContents()) {
            seen.add(title);
        }
        const next = visit.link("Older tokens");
        if ((await next.count()) === 0) {
            break;
        }
        await visit.follow(next);
    }
    assert.equal(seen.size, 30);
    await visit.follow(visit.link("All tokens, the newest first"));
    assert.equal(await page.locator(".tokens > li").count(), 25);
    await visit.follow(page.locator(".tokens h2 a").first());
    await visit.check("token with all rights");
}
