"""The static report: one page, figures beside it, nothing to load from elsewhere."""

from importlib.resources import files
from pathlib import Path


def write_report(path: str | Path, **content: object) -> None:
    """Render `report.html.j2` with `content` to `path`; missing content is an error, not a gap."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda value: "never" if value is None else f"{100 * value:.1f} %"
    template = environment.from_string(files("saev.report").joinpath("report.html.j2").read_text())
    Path(path).write_text(template.render(**content))
