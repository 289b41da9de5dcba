"""Checks shared by the frozen option dataclasses: each names the option and echoes the bad value."""

from saev.errors import SaevError


def check_int(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raise SaevError unless `value` is an int with low <= value (<= high)."""
    # bool is an int in Python, and `k: true` in a YAML file is a mistake.
    right = (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value >= low
        and (high is None or value <= high)
    )
    if not right:
        bound = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise SaevError(f"{name} must be an integer {bound}, got {value!r}")


def check_number(
    name: str, value: object, *, low: float, high: float = float("inf"), above: bool = False
) -> None:
    """Raise SaevError unless `value` is a finite number with low <= value <= high (low < value if `above`)."""
    right = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and low <= value <= high
        and value < float("inf")
    )
    if not right or (above and value == low):
        upper = "" if high == float("inf") else f" and <= {high:g}"
        raise SaevError(f"{name} must be a number {'>' if above else '>='} {low:g}{upper}, got {value!r}")


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise SaevError unless `value` is one of `choices`."""
    if value not in choices:
        raise SaevError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")
