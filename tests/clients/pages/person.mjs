// A person who uses a mouse, or nothing but the keyboard.

import assert from "node:assert/strict";

// Maximum number of elements on a page that take the focus.
const STOPS = 100;

export class Person {
    constructor(page, has_mouse) {
        this.page = page;
        this.has_mouse = has_mouse;
    }

    // Presses a link or a button.
    async press(target) {
        if (this.has_mouse) {
            return await target.click();
        }
        await this.reach(target);
        const is_button = await target.evaluate((element) => element instanceof HTMLButtonElement);
        // The browser may move the focus.
        await this.page.evaluate(() => delete globalThis.focused_before);
        await this.page.keyboard.press(is_button ? "Space" : "Enter");
    }

    // Writes a text into a field, in place of its own.
    async fill(target, text) {
        if (this.has_mouse) {
            return await target.fill(text);
        }
        await this.reach(target);
        await this.page.keyboard.press("Control+A");
        await this.page.keyboard.type(text);
    }

    // Chooses an option by its value.
    async choose(target, value) {
        if (this.has_mouse) {
            return await target.selectOption(value);
        }
        await this.reach(target);
        await this.page.keyboard.press("Home");
        while ((await target.inputValue()) !== value) {
            const before = await target.inputValue();
            await this.page.keyboard.press("ArrowDown");
            assert.notEqual(await target.inputValue(), before, `there is no option ${value}`);
        }
    }

    // Changes whether a box is checked.
    async toggle(target) {
        if (this.has_mouse) {
            return await target.click();
        }
        await this.reach(target);
        await this.page.keyboard.press("Space");
    }

    // Chooses the second one of two radio buttons, of which the first one is chosen.
    async choose_second(first, second) {
        if (this.has_mouse) {
            return await second.click();
        }
        await this.reach(first);
        await this.page.keyboard.press("ArrowDown");
        assert(await second.isChecked());
    }

    // Presses Tab until an element has the focus, and checks each element on the way.
    async reach(target) {
        for (let stop = 0; stop < STOPS; stop++) {
            const { is_there, wrong } = await target.evaluate(look);
            assert.deepEqual(wrong, []);
            if (is_there) {
                return;
            }
            await this.page.keyboard.press("Tab");
        }
        assert.fail(`Tab does not reach ${target}`);
    }

    // Returns whether an element has the focus.
    async has_reached(target) {
        return await target.evaluate((element) => element === document.activeElement);
    }

    // Uses the link that is visible only if it has the focus.
    async skip_to_content() {
        const skip = this.page.getByRole("link", { name: "Skip to content" });
        await this.page.keyboard.press("Tab");
        const { is_there, wrong } = await skip.evaluate(look);
        assert(is_there && wrong.length === 0, wrong.join());
        await this.page.keyboard.press("Enter");
        assert(await this.has_reached(this.page.locator("main")));
    }
}

// Returns whether an element has the focus, and what is wrong with the one that has it. Runs in the
// page.
function look(wanted) {
    const focused = document.activeElement;
    const before = globalThis.focused_before;
    globalThis.focused_before = focused;
    // `main` has it after the skip link, and shows it with its place.
    if (focused === document.body || focused.localName === "main") {
        return { is_there: false, wrong: [] };
    }
    const wrong = [];
    const say = (text) => wrong.push(`${focused.outerHTML.slice(0, 200)} ${text}`);
    const [box] = focused.getClientRects();
    const style = getComputedStyle(focused);
    const is_inside =
        box?.width > 0 && box.left > -1 && box.top > -1 && box.right < innerWidth + 1 && box.bottom < innerHeight + 1;
    const middle = is_inside && document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    if (!focused.contains(middle || null)) {
        say("has the focus and cannot be seen");
    }
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) {
        say("does not show the focus");
    }
    if (before?.isConnected && before !== focused && before !== document.body) {
        const [old] = before.getClientRects();
        const is_after = before.compareDocumentPosition(focused) & Node.DOCUMENT_POSITION_FOLLOWING;
        // The skip link has left the page.
        const is_above = old.right > 0 && (box.bottom < old.top || (box.top < old.bottom && box.right < old.left));
        if (!is_after || is_above) {
            say(`gets the focus after ${before.outerHTML.slice(0, 200)}`);
        }
    }
    return { is_there: focused === wanted, wrong };
}
