"""What comes in over HTTP, read with care: everything may be missing, wrong, or far too large."""

import json
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from saev.app.lane import Gone
from saev.checks import Options, check_arguments
from saev.errors import SaevError, first_line

Kind = TypeVar("Kind", bound=Options)

LONGEST = 20_000
"""Characters of a parameter: a list of patches may be long."""


class TooLarge(Exception):
    """More bytes than are taken."""


def asked(request: Request, key: str, default: str | None = None) -> str:
    """A parameter of the address. Raises SaevError if it is missing without a default, twice, or too long."""
    values = request.query_params.getlist(key)
    if not values and default is not None:
        return default
    if len(values) != 1 or len(values[0]) > LONGEST:
        raise SaevError(
            f"{key} must be given once, in at most {LONGEST:,} characters, got {len(values)} of it"
        )
    return values[0]


def asked_number(request: Request, key: str) -> int:
    """A whole number from 0. Raises SaevError if it is none."""
    text = asked(request, key)
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise SaevError(f"{key} must be a number from 0 to 999999999, got {text[:40]!r}")
    return int(text)


async def body(request: Request, most: int) -> bytes:
    """The content, read no further than it may be long.

    Raises:
        TooLarge: it says that it is larger, or proves to be.
        Gone: it ended in the middle.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > most:
        raise TooLarge
    parts, size = [], 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > most:
                raise TooLarge
    except ClientDisconnect:
        raise Gone from None
    return b"".join(parts)


async def section(request: Request, most: int = 64 * 2**10) -> dict:
    """A JSON object. Raises SaevError if the content is none, and as `body`."""
    try:
        value = json.loads(await body(request, most))
    except (ValueError, RecursionError) as error:
        raise SaevError(f"the request is no JSON: {first_line(error)}") from None
    if not isinstance(value, dict):
        raise SaevError(f"the request must be a JSON object, got {type(value).__name__}")
    return value


def read(kind: type[Kind], values: Any) -> Kind:
    """The options that a part of a request gives. Raises SaevError for unknown, missing and wrong ones."""
    check_arguments(kind.section, kind, values)
    return kind(**values)


def text_of(values: dict, key: str) -> str:
    """A string of a request. Raises SaevError if it is none."""
    if not isinstance(value := values.get(key), str):
        raise SaevError(f"{key} must be a text, got {value!r:.80}")
    return value
