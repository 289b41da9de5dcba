"""Option dataclasses whose fields are checked against their annotations; errors echo field and value."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from saev.errors import SaevError


class Range(NamedTuple):
    """low <= value <= high, or low < value if `open`."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def holds(self, value: float) -> bool:
        """Whether a finite number is within."""
        return (
            self.low <= value <= self.high and abs(value) < math.inf and not (self.open and value == self.low)
        )


class Bound(NamedTuple):
    """A `Range`, of which an end may be the name of an earlier field, for its value."""

    low: float | str = -math.inf
    high: float | str = math.inf
    open: bool = False

    def of(self, options: object) -> Range:
        """With the fields' values in the place of their names."""
        low, high = (getattr(options, end) if isinstance(end, str) else end for end in (self.low, self.high))
        return Range(low, high, self.open)


def at_least(low: float | str) -> Bound:
    """For Annotated[int, ...] or Annotated[float, ...]: low <= value."""
    return Bound(low)


def above(low: float | str, *, up_to: float | str = math.inf) -> Bound:
    """low < value (<= up_to)."""
    return Bound(low, up_to, open=True)


def between(low: float | str, high: float | str) -> Bound:
    """low <= value <= high."""
    return Bound(low, high)


LONGEST = 1000
"""Characters of a wrong value that are echoed."""
COUNT = between(1, 10**9)
"""Of things: one at least, and not more than there could be anywhere."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of the frozen option dataclasses: every field is checked against its annotation.

        class TopK(Options, section="sae"):
            d_sae: Annotated[int, at_least(1)]
            k: Annotated[int, between(1, "d_sae")] = 32
            optimizer: Literal["adam", "muon"] = "adam"

        TopK(d_sae=64, k=0)     SaevError: sae.k must be an integer in [1, 64], got 0

    Read are int, float, bool, str, other classes, None, Literal, tuple[X, ...] (a list becomes a tuple),
    Sequence[X], unions of these, and Annotated with a `Bound`.

    Class arguments:
        section: what stands before the names of its fields, and of its subclasses', in messages.

    Raises:
        SaevError: a value is not what its annotation says.
        TypeError: an annotation is none of the above.
    """

    section: ClassVar[str] = ""
    """What stands before the names of its fields in messages."""

    def __init_subclass__(cls, *, section: str = "", **kw: object):
        super().__init_subclass__(**kw)
        if section:
            cls.section = section

    def __post_init__(self):
        hints = get_type_hints(type(self), include_extras=True)
        for field in fields(self):
            name = f"{self.section}.{field.name}" if self.section else field.name
            value = getattr(self, field.name)
            _check(name, value, _rule(hints[field.name], self))
            object.__setattr__(self, field.name, _frozen(value))


def check_int(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raise SaevError unless `value` is an int with low <= value (<= high)."""
    _check(name, value, _number(int, Range(low, math.inf if high is None else high)))


def check_number(
    name: str, value: object, *, low: float, high: float = math.inf, above: bool = False
) -> None:
    """Raise SaevError unless `value` is a finite number, low <= value <= high (low < value if `above`)."""
    _check(name, value, _number(float, Range(low, high, above)))


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise SaevError unless `value` is one of `choices`."""
    _check(name, value, _choice(choices))


def check_seed(value: Any) -> int:
    """The seed, if it is one that torch, numpy and sklearn all take: an integer in [0, 2^32 - 1]."""
    check_int("seed", value, low=0, high=2**32 - 1)
    return value


def check_name(name: str, value: object) -> None:
    """Raise SaevError unless `value` can be a part of the name of a file: no more than one folder deep."""
    text = value if isinstance(value, str) else ""
    if not text.strip(".") or len(text) > 100 or not text.isprintable() or "/" in text or "\\" in text:
        raise SaevError(f"{name} must be a name, 1 to 100 characters without a slash, got {shown(value)}")


def check_path(name: str, value: object) -> None:
    """Raise SaevError unless `value` can be a path."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise SaevError(f"{name} must be a path, got {shown(value)}")


def check_keys(section: str, options: object, known: Mapping[str, bool]) -> None:
    """Raise SaevError unless `options` is a section with no key but the `known`, {key: whether it must be
    there}."""
    if not isinstance(options, Mapping):
        raise SaevError(f"{section} must be a section of {', '.join(known)}, got {shown(options)}")
    for key in options:
        if key not in known:
            raise SaevError(f"{section}.{key} is no option; there are {', '.join(known)}")
    if missing := [key for key, needed in known.items() if needed and key not in options]:
        raise SaevError(f"{section}.{missing[0]} is missing")


def check_arguments(section: str, call: Callable, options: Any, *, whole: bool = True) -> None:
    """Raise SaevError unless `options` can be the arguments of `call`, in name and by its annotations; all of
    them, unless others come from elsewhere (not `whole`)."""
    parameters = inspect.signature(call).parameters
    check_keys(section, options, {key: whole and p.default is p.empty for key, p in parameters.items()})
    if inspect.isclass(call) and issubclass(call, Options):
        call(**options)  # which checks itself
        return
    hints = get_type_hints(call.__init__ if inspect.isclass(call) else call, include_extras=True)
    for key, value in options.items():
        _check(f"{section}.{key}", value, _rule(hints[key], SimpleNamespace(**options)))


def expected(hint: object) -> str:
    """What an annotation asks for, as messages say it; a bound that is another field's bears its name.

    expected(Annotated[int, between(1, "d_sae")])     an integer in [1, d_sae]
    """
    names = SimpleNamespace(**{end: end for end in _bounding(hint)})
    return _rule(hint, names).expected


def _bounding(hint: object) -> list[str]:
    """The fields that bounds within an annotation name."""
    if isinstance(hint, Bound):
        return [end for end in (hint.low, hint.high) if isinstance(end, str)]
    inside = (*get_args(hint), *getattr(hint, "__metadata__", ()))
    return [] if get_origin(hint) is Literal else [end for part in inside for end in _bounding(part)]


class _Rule(NamedTuple):
    accepts: Callable[[object], object]
    expected: str
    """What the value must be, as it stands in the message."""
    each: "_Rule | None" = None
    """Of the entries of a list, so that the message echoes the wrong one alone."""


def _check(name: str, value: object, rule: _Rule) -> None:
    if rule.each is not None and isinstance(value, (list, tuple)):
        for entry in value:
            _check(name, entry, rule.each)
    if not rule.accepts(value):
        raise SaevError(f"{name} must be {rule.expected}, got {shown(value)}")


def _rule(hint: object, options: object) -> _Rule:
    """What an annotation asks of a field of `options`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _number(args[0], args[1].of(options))
    if hint in (int, float):
        return _number(hint, Range())
    if origin is Literal:
        return _choice(args)
    if hint is bool:
        return _choice((True, False))
    if origin in (Union, UnionType):
        rules = [_rule(arg, options) for arg in args]
        # Without "or null": who gave a wrong value wants to know the right ones.
        expected = " or ".join(
            rule.expected for arg, rule in zip(args, rules, strict=True) if arg is not NoneType
        )
        return _Rule(lambda value: any(rule.accepts(value) for rule in rules), expected)
    if (origin is tuple and args[1:] == (...,)) or origin is Sequence:
        each = _rule(args[0], options)
        return _Rule(
            lambda value: isinstance(value, (list, tuple)) and all(map(each.accepts, value)),
            f"a list, each {each.expected}",
            each,
        )
    if hint is str:
        return _Rule(lambda value: isinstance(value, str) and value.strip(), "a string that is not empty")
    if isinstance(hint, type):
        expected = f"a {hint.__name__}"
        return _Rule(lambda value: isinstance(value, hint), expected)
    raise TypeError(f"{hint}: Options cannot check this annotation")


def shown(value: object) -> str:
    """A wrong value as a message echoes it: `repr`, but not without end, nor what Python refuses to
    write out (whole numbers of more than 4,300 digits)."""
    try:
        text = repr(value)
    except ValueError:
        text = f"a {type(value).__name__} of a number too large to write out"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _number(kind: type, bound: Range) -> _Rule:
    """An int, or an int or float, within the bound."""
    kinds, noun = ((int,), "an integer") if kind is int else ((int, float), "a number")
    low = "" if bound.low == -math.inf else f" {'>' if bound.open else '>='} {bound.low}"
    high = "" if bound.high == math.inf else f" and <= {bound.high}"
    both = kind is int and low and high and not bound.open
    expected = f"{noun} in [{bound.low}, {bound.high}]" if both else f"{noun}{low}{high}"
    # bool is an int in Python, and `k: true` in a YAML file is a mistake.
    return _Rule(
        lambda value: isinstance(value, kinds) and not isinstance(value, bool) and bound.holds(value),
        expected,
    )


def _choice(choices: tuple[object, ...]) -> _Rule:
    expected = str(choices[0]) if len(choices) == 1 else f"one of {', '.join(map(str, choices))}"
    # By type as well, because 1 == True.
    return _Rule(
        lambda value: any(type(value) is type(choice) and value == choice for choice in choices), expected
    )


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
