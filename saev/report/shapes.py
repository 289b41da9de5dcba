"""What a record must be like: shapes that JSON is held against."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of value: what it is called, and whether a value is one."""

    words: str
    holds: Callable[[object], bool]


class Maybe(NamedTuple):
    """A shape whose value may be null, or its key absent, which is the same."""

    shape: object


class Unless(NamedTuple):
    """A record that either gives a `reason`, not "", why it holds nothing, or holds all of `record`."""

    record: dict

    def of(self, value: object) -> dict:
        """The shape that this value must have."""
        excused = isinstance(value, dict) and value.get("reason")
        record = {key: Maybe(inner) for key, inner in self.record.items()} if excused else self.record
        return {"reason": Maybe(TEXT), **record}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_numbers(text: str) -> bool:
    try:
        return all(math.isfinite(float(word)) for word in text.split())
    except ValueError:
        return False


def _are_two(value: object, kind: Kind) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(kind.holds, value))


NUMBER = Kind("a number", _is_number)
POSITIVE = Kind("a number >= 0", lambda value: _is_number(value) and value >= 0)
COUNT = Kind("a whole number >= 0", lambda value: _is_number(value) and value >= 0 and value == int(value))
SHARE = Kind("a share in [0, 1]", lambda value: _is_number(value) and -1e-9 <= value <= 1 + 1e-9)
TEXT = Kind("a text", lambda value: isinstance(value, str))
VALUE = Kind("a text or a number", lambda value: isinstance(value, str) or _is_number(value))
NUMBERS = Kind("numbers, with spaces between", lambda value: isinstance(value, str) and _are_numbers(value))
TWO = Kind("two texts or numbers", lambda value: _are_two(value, VALUE))
TWO_NUMBERS = Kind("two numbers", lambda value: _are_two(value, NUMBER))
TWO_COUNTS = Kind("two whole numbers >= 0", lambda value: _are_two(value, COUNT))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))


def mismatch(value: object, shape: object, where: str = "") -> str | None:
    """What in `value` is not as `shape` says, in words; None if all is."""
    match shape:
        case Maybe(inner):
            return None if value is None else mismatch(value, inner, where)
        case Unless():
            return mismatch(value, shape.of(value), where)
        case Kind(words, holds):
            return None if holds(value) else f"{where or 'it'} must be {words}, got {_brief(value)}"
        case [inner]:
            if not isinstance(value, list):
                return f"{where or 'it'} must be a list, got {_brief(value)}"
            return _first(mismatch(item, inner, f"{where}[{i}]") for i, item in enumerate(value))
        case dict():
            if not isinstance(value, dict):
                return f"{where or 'it'} must be a record, got {_brief(value)}"
            expected = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
            absent = [key for key in expected if key not in value and not isinstance(expected[key], Maybe)]
            if absent:
                return f"{_join(where, absent[0])} is missing"
            if lone := _lone_end(value):
                return f"{_join(where, lone)} is null, the other end of its interval is not"
            return _first(
                mismatch(value.get(key), inner, _join(where, key)) for key, inner in expected.items()
            )


def filled(value, shape: object):
    """`value`, of this shape, with null for the keys that may be absent and are."""
    match shape:
        case Maybe(inner):
            return None if value is None else filled(value, inner)
        case Unless():
            return filled(value, shape.of(value))
        case [inner]:
            return [filled(item, inner) for item in value]
        case dict():
            expected = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
            return value | {key: filled(value.get(key), inner) for key, inner in expected.items()}
    return value


def _first(faults: Iterable[str | None]) -> str | None:
    return next((fault for fault in faults if fault), None)


def _lone_end(record: dict) -> str | None:
    """Which end of an interval, keys <what>low and <what>high, is null where the other is not."""
    for low in (key for key in record if key.endswith("low")):
        high = low[: -len("low")] + "high"
        if (record[low] is None) != (record.get(high) is None):
            return low if record[low] is None else high
    return None


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
