"""The payload of a token: `{"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}`."""

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from wit_world.imports.types import Restrictions

# The last second of the year 9999, and of the contract.
LAST_SECOND = 253_402_300_799

# The longest lifetime of the contract, in seconds.
LONGEST = 2**32 - 1

# More than a payload needs. Python's parser recurses, and would exhaust the stack of the sandbox.
MAX_DEPTH = 32


@dataclass(frozen=True)
class Payload:
    """What a token says."""

    actor: str
    issued_at: int  # in Unix seconds
    lifetime: int | None  # in seconds; None: never expires
    restrictions: Restrictions | None  # None: the actor's own rights; an empty list: nothing
    id: str  # a random name, for revocation and audit

    @property
    def expires_at(self) -> int | None:
        """Returns the last second in which the token is valid, or None if it never expires."""
        return None if self.lifetime is None else self.issued_at + self.lifetime


def write(payload: Payload) -> bytes:
    """Writes a payload as compact JSON."""
    members: dict[str, Any] = {"a": payload.actor, "t": payload.issued_at}
    if payload.lifetime is not None:
        members["d"] = payload.lifetime
    if payload.restrictions is not None:
        members["_r"] = allow_list(payload.restrictions)
    members["j"] = payload.id
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def read(data: bytes) -> Payload:
    """Reads a payload. Raises ValueError if it has another shape.

    An unknown member could be a condition, so a payload with one is invalid.
    """
    text = data.decode()
    if depth(text) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    value = json.loads(text, object_pairs_hook=distinct)
    # An escape may be half of a surrogate pair, which is not text: encoding it raises a ValueError.
    json.dumps(value, ensure_ascii=False).encode()
    match value:
        case {"a": str(actor), "t": issued_at, "j": str(id), **rest} if rest.keys() <= {"d", "_r"}:
            # `null` is not the same as an absent member: it must not mean "no restrictions".
            lifetime = seconds(rest["d"], LONGEST) if "d" in rest else None
            limits = restrictions(rest["_r"]) if "_r" in rest else None
            payload = Payload(actor, seconds(issued_at, LAST_SECOND), lifetime, limits, id)
            if (payload.expires_at or 0) <= LAST_SECOND:
                return payload
    raise ValueError("not a payload")


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object. Raises ValueError if a name occurs twice: which one counts is unclear."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value


def depth(text: str) -> int:
    """Returns how deeply lists and objects are nested in a JSON text."""
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    return max(accumulate((char in "[{") - (char in "]}") for char in outside_strings), default=0)


def allow_list(restrictions: Restrictions) -> dict[str, Any]:
    """Returns restrictions in Datasette's form: `{"a":[…],"d":{db:[…]},"r":{db:{resource:[…]}}}`.

    Empty members are omitted.
    """
    resources: dict[str, dict[str, list[str]]] = {}
    for database, resource, actions in restrictions.resource:
        resources.setdefault(database, {})[resource] = actions
    members = {"a": restrictions.all, "d": dict(restrictions.database), "r": resources}
    return {name: value for name, value in members.items() if value}


def restrictions(value: Any) -> Restrictions:
    """Reads restrictions in Datasette's form. Raises ValueError if they have another shape."""
    if not members(value).keys() <= {"a", "d", "r"}:
        raise ValueError("unknown restrictions")
    return Restrictions(
        all=texts(value.get("a", [])),
        database=[(database, texts(actions)) for database, actions in members(value.get("d", {})).items()],
        resource=[
            (database, resource, texts(actions))
            for database, resources in members(value.get("r", {})).items()
            for resource, actions in members(resources).items()
        ],
    )


def members(value: Any) -> dict[str, Any]:
    """Returns a JSON object as it is. Raises ValueError for any other value."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def texts(value: Any) -> list[str]:
    """Returns a list of texts as it is. Raises ValueError for any other value."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError("not a list of texts")
    return value


def seconds(value: Any, maximum: int) -> int:
    """Returns a whole number of seconds as it is. Raises ValueError for any other value."""
    # In Python, True is an int.
    if type(value) is not int or not 0 <= value <= maximum:
        raise ValueError("not a number of seconds")
    return value
