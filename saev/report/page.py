"""The static report: one page, figures beside it, nothing to load from elsewhere."""

from itertools import count
from pathlib import Path

from saev.files import write_text
from saev.report.lettering import shorten, visible


def write_report(path: str | Path, **content: object) -> None:
    """Render the templates with `content` to `path`; missing content is an error, not a gap.

    Everything in `content` is text, never markup.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("saev.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "fixed": fixed,
        "whole": whole,
        "signed": signed,
        "name": name,
        "names": names,
    }
    environment.globals["number"] = count(1).__next__  # of the figures, in their order on the page
    write_text(path, environment.get_template("page.html.j2").render(**content))


NOTHING = "\N{EN DASH}"
"""In the place of a number that there is not."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share, or a difference of shares, in percent."""
    return f"{fixed(100 * share, digits)}\N{NO-BREAK SPACE}%" if share is not None else NOTHING


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with so many digits after the point."""
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def whole(value: float) -> str:
    """A count."""
    return f"{round(value):,}"


def signed(value: float) -> str:
    """A number as short as it can be, below 0 with a minus and not with a hyphen."""
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def name(text: str, keep: int = 48) -> str:
    """Somebody's name for something, short enough for a table."""
    return shorten(visible(text), keep)


def names(texts: list[str], most: int = 12) -> str:
    """Several of them, as a list in a sentence; of many the first."""
    listed = ", ".join(name(text, 32) for text in texts[:most])
    return listed if len(texts) <= most else f"{listed} and {len(texts) - most} more"
