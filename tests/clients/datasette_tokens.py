"""Creates tokens of every kind with datasette-auth-tokens in `internal.db`, and prints a JSON object for each, with its actor
according to Datasette. `before.db` is a copy of the database from before the first use of a token."""

import asyncio
import json
import os
import re

from datasette.app import Datasette
from datasette.tokens import TokenRestrictions

OWNER = {"id": "ann"}


async def main():
    datasette = Datasette(
        memory=True,
        internal="internal.db",
        secret=os.environ["DATASETTE_SECRET"],
        config={
            "plugins": {"datasette-auth-tokens": {"manage_tokens": True}},
            "permissions": {"auth-tokens-create": {"id": "*"}},
        },
    )
    await datasette.invoke_startup()
    cookies = {"ds_actor": datasette.client.actor_cookie(OWNER)}

    async def by_page(form):
        page = await datasette.client.post("/-/api/tokens/create", data=form, cookies=cookies)
        return re.search(r"dsatok_[\w.-]+", page.text)[0]

    async def revoke(number):
        page = await datasette.client.post(f"/-/api/tokens/{number}", data={"revoke": "1"}, cookies=cookies)
        assert page.status_code == 302, page.text

    some = TokenRestrictions().allow_all("view-instance").allow_database("demo", "execute-sql")
    some = some.allow_resource("demo", "we ird", "view-table")
    create = datasette.create_token
    tokens = {
        "plain": await create("ann"),
        "revoked": await create("ann"),
        "of a number": await create(5),
        "of another script": await create("ünï 日本"),
        "that ends": await create("ann", expires_after=86400),
        "restricted": await create("ann", restrictions=some),
        "restricted, and ends": await create("ann", expires_after=86400, restrictions=some),
        "with empty restrictions": await create("ann", restrictions=TokenRestrictions()),
        "by the page": await by_page({"description": "a note", "database:demo:view-table": "1"}),
        "by the page, and ends": await by_page({"expire_type": "days", "expire_duration": "2"}),
        "expired": await create("ann", expires_after=-5),
        "expired and revoked": await create("ann", expires_after=-5),
        "revoked twice": await create("ann", expires_after=86400),
        "deleted": await create("ann"),
        "of a row that never was": "dsatok_" + datasette.sign(4_000, "dsatok"),
        "signed for something else": "dsatok_" + datasette.sign(1, "token"),
        "signed by Datasette": await create("ann", handler="signed"),
    }
    # The numbers of tokens follow the order of their creation.
    for number in (2, 12, 13, 13):
        await revoke(number)
    database = datasette.get_internal_database()
    await database.execute_write("delete from _datasette_auth_tokens where id = 14")
    await database.execute_write("vacuum into 'before.db'", transaction=False)
    for name, token in tokens.items():
        answer = await datasette.client.get("/-/actor.json", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        print(json.dumps({"name": name, "token": token, "actor": answer.json()["actor"]}))


asyncio.run(main())
