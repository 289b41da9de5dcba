"""From the values of a column of labels to indices of classes, alike in every split."""

from collections.abc import Callable, Iterable, Sequence

from saev.data.sample import IGNORE
from saev.errors import SaevError

UNLABELLED = {None: IGNORE, -1: IGNORE}


def checked_names(classes: Sequence[str]) -> tuple[str, ...]:
    """The option `classes`. Raises SaevError if it is no list of names."""
    names = () if isinstance(classes, str) else tuple(classes)
    # Unquoted, YAML takes `no` for false and `1` for a number.
    if not names or not all(isinstance(name, str) for name in names):
        raise SaevError(f"data.classes must be a list of names (quoted), got {classes!r}")
    return names


def number_integers(
    values: Iterable[int | None], names: tuple[str, ...], where: str
) -> dict[int | None, int]:
    """An integer is the index of its class; -1 and None are no label.

    Raises:
        SaevError: with `where`, if one of `values` is no index of `names`.
    """
    index = UNLABELLED | {i: i for i in range(len(names))}
    if bad := [value for value in values if value not in index]:
        raise SaevError(f"{where} holds {bad[0]}; expected 0 to {len(names) - 1}, or -1 for no label")
    return index


def number_strings(values: Iterable[str | None], names: tuple[str, ...], where: str) -> dict[str | None, int]:
    """A string is the name of its class, whose index is its position in `names`; None is no label.

    Raises:
        SaevError: with `where`, if one of `values` is not in `names`, or a name is in there twice.
    """
    index = {name: i for i, name in enumerate(names)}
    if len(index) < len(names):
        raise SaevError(f"{where} holds strings, so data.classes must have each name once, got {names}")
    if bad := sorted({value for value in values if value is not None} - index.keys()):
        raise SaevError(f"{where} holds {bad[0]!r}, which is not in data.classes")
    return {None: IGNORE} | index


def names_of_integers(values: Callable[[], Iterable[int | None]], where: str) -> tuple[str, ...]:
    """'0', '1', ... for the integers of all splits.

    Raises:
        SaevError: with `where`, if they have a gap: then they count something else than these classes.
    """
    found = {value for value in values() if value is not None} - UNLABELLED.keys()
    if found != set(range(len(found))):
        shown = ", ".join(map(str, sorted(found)[:5])) + (", ..." if len(found) > 5 else "")
        raise SaevError(
            f"{where} holds the integers {shown}, not 0, 1, 2, ... without a gap; give data.classes, the "
            "names in order: an integer is then the position of its name"
        )
    return tuple(map(str, range(len(found))))


def renamed(names: tuple[str, ...], given: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The given names instead of those that a column has, position by position.

    Raises:
        SaevError: with `where`, if there are more or fewer, or one is the column's name of another class.
    """
    if len(given) != len(names):
        raise SaevError(f"{where} has {len(names)} classes, data.classes names {len(given)}")
    for i, name in enumerate(given):
        if name in names and names[i] != name:
            raise SaevError(
                f"{where} calls class {i} {names[i]!r}, but data.classes calls it {name!r}, the name of "
                f"class {names.index(name)}; leave data.classes null"
            )
    return given
