"""By how much an SAE is better than what needs no learning."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saev.report.lettering import fit
from saev.report.palette import COLOURS, DOUBT
from saev.report.style import GREY, nothing, styled

PANELS = {
    "nmse": "less error (NMSE)",
    "classes": "more F1 of classes",
    "concepts": "more F1 of concepts",
}
"""What is gained, and its words."""


def gains_over_floors(floors: list[dict]) -> Figure:
    """The gain of an SAE over each of its floors, with its interval: certain only to the right of 0.

    Args:
        floors: records {floor, gain, low, high, classes, concepts} (saev.report.tables.floors).
    """
    panels = {
        name: [row if name == "nmse" else row[name] for row in floors]
        for name in PANELS
        if name == "nmse" or any(row[name] for row in floors)
    }
    with styled():
        size = (2.2 + 2.7 * len(panels), 1.5 + 0.27 * max(len(floors), 2))
        figure = Figure(figsize=size, layout="constrained")
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (name, rows) in zip(every, panels.items(), strict=True):
            for y, row in enumerate(rows):
                if row and row["gain"] is not None:
                    _gain(axes, y, row)
            axes.axvline(0, color=GREY, linewidth=1, zorder=0)
            axes.set(xlabel=PANELS[name], ylim=(len(floors) - 0.4, -0.6))
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        every[0].set_yticks(range(len(floors)), [row["floor"] for row in floors], fontsize=9)
        if not floors:
            nothing(every[0], "it has no floors")
        title = fit(_title(panels), size[0] - 0.2, 11, "bold")
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, weight="bold")
    return figure


def _title(panels: dict[str, list]) -> str:
    """How many floors are certainly beaten, of those whose interval is known."""
    counts = []
    for name, rows in panels.items():
        known = [row for row in rows if row and row["low"] is not None]
        if known:
            counts.append(f"{sum(row['low'] > 0 for row in known)} of {len(known)} in {_IN[name]}")
    return f"Floors certainly beaten: {', '.join(counts)}" if counts else "What the SAE gains over its floors"


_IN = {"nmse": "error", "classes": "F1 of classes", "concepts": "F1 of concepts"}


def _gain(axes: Axes, y: int, row: dict) -> None:
    known = row["low"] is not None
    certain = known and row["low"] > 0
    colour = COLOURS[0] if certain else DOUBT if known else GREY
    if known:
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.6)
    face = colour if certain else "white"
    axes.plot(row["gain"], y, marker="o", markersize=6, color=colour, markerfacecolor=face)
