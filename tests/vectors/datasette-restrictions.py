"""Writes datasette-restrictions.json: what a real Datasette lets a token with restrictions do.

    pip install datasette==1.0a41
    python datasette-restrictions.py > datasette-restrictions.json
    python datasette-restrictions.py --random 5000 --seed 1 > more.json

The actor is root, whom Datasette allows everything, so that each refusal comes of the restrictions (`_r`). Each case is
put to `Datasette.allowed`, which is what requests go through, and to `restrictions_allow_action`, the function that
Datasette offers to plugins. `allowed` is the answer of the first; `function` stands where the second one differs.
"""

import argparse
import asyncio
import json
import random

from datasette.app import Datasette
from datasette.default_permissions import restrictions_allow_action
from datasette.resources import DatabaseResource, QueryResource, TableResource
from datasette.version import __version__

ON_INSTANCE = ["view-instance", "permissions-debug", "debug-menu"]
ON_DATABASE = [
    "view-database",
    "view-database-download",
    "execute-sql",
    "execute-write-sql",
    "create-table",
    "create-view",
    "store-query",
]
ON_TABLE = [
    "view-table",
    "insert-row",
    "delete-row",
    "update-row",
    "alter-table",
    "set-column-type",
    "drop-table",
    "drop-view",
]
ON_QUERY = ["view-query", "update-query", "delete-query"]
ACTIONS = ON_INSTANCE + ON_DATABASE + ON_TABLE + ON_QUERY

# Names that are easily taken for one another: by case, in ASCII and beyond, by composition, by LIKE and GLOB.
DATABASES = ["one", "ONE", "two", "café", "cafe\u0301", "CAFÉ", "o_e", "*"]
RESOURCES = ["t1", "T1", "t2", "straße", "STRASSE", "É", "é", "e\u0301", "\u212a", "k", "t_", "%", "*", " t1"]


async def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--random", type=int, help="that many random cases instead of the chosen ones")
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()

    queries = {name: {"sql": "select 1"} for name in RESOURCES}
    datasette = Datasette(config={"databases": {name: {"queries": queries} for name in DATABASES}})
    for number, name in enumerate(DATABASES):
        datasette.add_memory_database(f"restrictions-{number}", name=name)
    datasette.root_enabled = True
    await datasette.invoke_startup()
    abbreviations = {name: action.abbr for name, action in datasette.actions.items()}
    assert sorted(abbreviations) == sorted(ACTIONS), "Datasette has other actions than this script knows"

    asked = random_cases(arguments.random, arguments.seed) if arguments.random else chosen_cases()
    cases = []
    for case in asked:
        if await is_allowed(datasette, case, {"id": "root"}):
            case["allowed"] = await is_allowed(datasette, case, {"id": "root", "_r": case["_r"]})
            function = function_allows(datasette, case, case["action"])
            if function != case["allowed"]:
                case["function"] = function
            cases.append(case)
    print(f'{{"datasette": "{__version__}",\n"abbreviations": {json.dumps(abbreviations)},\n"cases": [')
    print(",\n".join(map(json.dumps, cases)))
    print("]}")


async def is_allowed(datasette, case, actor):
    database, resource = case.get("database"), case.get("resource")
    if database is None:
        on = None
    elif resource is None:
        on = DatabaseResource(database)
    elif case["action"] in ON_QUERY:
        on = QueryResource(database, resource)
    else:
        on = TableResource(database, resource)
    return await datasette.allowed(action=case["action"], resource=on, actor=actor)


def function_allows(datasette, case, action):
    """The function knows nothing of actions that require others, so that it is asked about each."""
    database, resource = case.get("database"), case.get("resource")
    on = database if resource is None else (database, resource)
    required = datasette.actions[action].also_requires
    return restrictions_allow_action(datasette, case["_r"], action, on) and (
        required is None or function_allows(datasette, case, required)
    )


def case(restrictions, action, database=None, resource=None):
    case = {"_r": restrictions, "action": action}
    if database is not None:
        case["database"] = database
    if resource is not None:
        case["resource"] = resource
    return case


def chosen_cases():
    table, query = ("view-table", "one", "t1"), ("view-query", "one", "t1")
    database, instance = ("view-database", "one"), ("view-instance",)

    # Nothing, in all its shapes.
    for nothing in [{}, {"a": []}, {"d": {}}, {"r": {}}, {"a": [], "d": {}, "r": {}}, {"d": {"one": []}}]:
        yield from (case(nothing, *asked) for asked in (instance, database, table, query))
    for nothing in [{"r": {"one": {}}}, {"r": {"one": {"t1": []}}}, {"a": [""]}]:
        yield from (case(nothing, *asked) for asked in (database, table))

    # Every action by both of its names, everywhere and one too narrow.
    for action in ACTIONS:
        asked = () if action in ON_INSTANCE else ("one",) if action in ON_DATABASE else ("one", "t1")
        required = ["view-database", "execute-sql"]
        yield case({"a": [action, *required]}, action, *asked)
        yield case({"d": {"one": [action, *required]}}, action, *asked)
        if len(asked) == 2:
            yield case({"r": {"one": {"t1": [action]}}}, action, *asked)
            yield case({"r": {"one": {"T1": [action]}}}, action, *asked)

    # Abbreviations, and what only looks like one.
    for name in ["vt", "view-table", "VT", "View-Table", "vt ", "v", "view_table", "vtt", "*", "vd", "vq"]:
        yield case({"a": [name]}, *table)
        yield case({"r": {"one": {"t1": ["ir", name]}}}, *table)

    # Levels: nothing is implied upwards or sideways.
    for restrictions in [{"a": ["vt"]}, {"d": {"one": ["vt"]}}, {"r": {"one": {"t1": ["vt"]}}}]:
        for asked in (instance, database, ("view-table",), ("view-table", "one"), ("view-table", "one", "t2")):
            yield case(restrictions, *asked)
        yield case(restrictions, "view-table", "two", "t1")
        yield case(restrictions, "view-table", "no-such", "no-such")
        yield case(restrictions, *query)
    for restrictions in [{"d": {"one": ["vi", "vd"]}}, {"r": {"one": {"t1": ["vi", "vd"]}}}]:
        for asked in (instance, database, ("view-instance", "one"), ("view-database", "one", "t1")):
            yield case(restrictions, *asked)
    yield case({"a": ["vi"], "d": {"one": ["vd"]}, "r": {"one": {"t1": ["vt"]}}}, *table)
    yield case({"a": ["vi"], "d": {"two": ["vt"]}, "r": {"one": {"t2": ["vt"]}}}, *table)
    yield case({"r": {"two": {"t1": ["vt"]}, "one": {"t2": ["vt"]}}}, *table)

    # Names.
    composed = [("café", "cafe\u0301"), ("café", "CAFÉ"), ("café", "café")]
    for given, name in [("one", "ONE"), *composed, ("o_e", "one"), ("*", "one")]:
        yield case({"d": {given: ["vd"]}}, "view-database", name)
        yield case({"d": {given: ["vt"]}}, "view-table", name, "t1")
        yield case({"r": {given: {"t1": ["vt"]}}}, "view-table", name, "t1")
    ascii_names = [("T1", "t1"), ("t1", "T1"), ("k", "K"), ("[", "{"), ("", "t1"), (" t1", "t1")]
    patterns = [("t_", "t1"), ("%", "t1"), ("*", "t1")]
    beyond = [("É", "é"), ("é", "é"), ("é", "e\u0301"), ("straße", "STRASSE"), ("straße", "STRAßE"), ("\u212a", "k")]
    for given, name in ascii_names + patterns + beyond:
        yield case({"r": {"one": {given: ["vt"]}}}, "view-table", "one", name)
        if name in RESOURCES:
            yield case({"r": {"one": {given: ["vq"]}}}, "view-query", "one", name)
    yield case({"r": {"one": {"T1": ["ir"], "t1": ["vt"]}}}, *table)
    yield case({"r": {"one": {"T1": ["vt"], "t1": ["ir"]}}}, *table)
    yield case({"r": {"one": {"T1": ["vt"], "t1": []}}}, *table)

    # Actions that require others.
    for action in ["view-database-download", "execute-sql", "execute-write-sql", "store-query"]:
        yield case({"a": [action]}, action, "one")
        yield case({"a": [action], "d": {"one": ["vd"]}}, action, "one")
        yield case({"d": {"one": [action, "vd"]}}, action, "one")
        yield case({"d": {"one": [action], "two": ["vd"]}}, action, "one")
    for given in [["sq"], ["es"], ["vd"], ["sq", "es"], ["sq", "vd"], ["es", "vd"], ["sq", "es", "vd"]]:
        yield case({"d": {"one": given}}, "store-query", "one")
    yield case({"a": ["sq"], "d": {"one": ["es"]}, "r": {"one": {"t1": ["vd"]}}}, "store-query", "one")
    yield case({"a": ["sq", "vd"], "d": {"one": ["es"]}}, "store-query", "one")


def random_cases(count, seed):
    chance = random.Random(seed)
    names = ["vt", "view-table", "vq", "view-query", "vd", "view-database", "es", "sq", "vi", "ir", "VT", "uq"]

    def actions():
        return chance.sample(names, chance.choice([0, 1, 2, 3, 6, 9]))

    def some(of, most):
        return chance.sample(of, chance.randint(0, most))

    databases, resources = DATABASES[:3], RESOURCES[:8]
    for _ in range(count):
        restrictions = {}
        if chance.random() < 0.3:
            restrictions["a"] = actions()
        if chance.random() < 0.6:
            restrictions["d"] = {name: actions() for name in some(databases, 3)}
        if chance.random() < 0.6:
            restrictions["r"] = {name: {name: actions() for name in some(resources, 6)} for name in some(databases, 3)}
        often = ["view-table", "view-query", "view-database", "execute-sql", "store-query"]
        action = chance.choice(often * 4 + ACTIONS)
        depth = chance.choice([0, 1, 2, 2, 2]) if action not in ON_QUERY else 2
        yield case(restrictions, action, *[chance.choice(databases), chance.choice(resources)][:depth])


asyncio.run(main())
