"""The same concepts in two cells of a study."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saev.report.lettering import fit
from saev.report.palette import COLOURS
from saev.report.style import GREY, nothing, styled

SHOWN = 40
"""Of more concepts those that differ most are drawn."""
_COLOUR = {
    "only here": COLOURS[0],
    "more here": COLOURS[5],
    "alike": COLOURS[2],
    "unsettled": GREY,
    "more there": COLOURS[4],
    "only there": COLOURS[1],
}


def compared_concepts(record: dict) -> Figure:
    """F1 of each concept here and there, and their difference with its interval, coloured by what it tells.

    Args:
        record: {kind, differs, here, there, concepts: [{name, here: {f1, claimed}, there, difference, low,
            high, verdict}]} of the stage compare.
    """
    rows = sorted(record["concepts"], key=lambda row: -abs(row["difference"] or 0))[:SHOWN]
    rows.sort(key=lambda row: -(row["difference"] or 0))
    one, other = (str(record[side][record["differs"]]) for side in ("here", "there"))
    with styled():
        figure = Figure(figsize=(9.4, 2.1 + 0.25 * max(len(rows), 2)), layout="constrained")
        values, gaps = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
        for y, row in enumerate(rows):
            colour = _COLOUR[row["verdict"]]
            _sides(values, y, row, colour)
            _gap(gaps, y, row, colour)
        values.set_yticks(range(len(rows)), [fit(row["name"], 2.2, 9) for row in rows], fontsize=9)
        sides = f"square {fit(one, 1.4, 9)}, circle {fit(other, 1.4, 9)}"
        values.set(xlabel=f"F1: {sides} (hollow: by chance)", xlim=(0, 1))
        values.set_ylim(len(rows) - 0.4, -0.6)
        gaps.axvline(0, color=GREY, linewidth=1, zorder=0)
        gaps.set(xlabel="difference, with its 95 % interval over clusters")
        for axes in (values, gaps):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        if not rows:
            nothing(values, "no concept is in both")
        same = [f"{key} {value}" for key, value in record["here"].items() if key != record["differs"]]
        title = f"{record['kind'].capitalize()}: {one} against {other}, {', '.join(same)}"
        figure.suptitle(fit(title, 9, 11, "bold"), x=0.012, ha="left", fontsize=11, weight="bold")
        told = [verdict for verdict in _COLOUR if any(row["verdict"] == verdict for row in rows)]
        words = {"here": f" in {fit(one, 1.8, 8)}", "there": f" in {fit(other, 1.8, 8)}"}
        handles = [
            Line2D([], [], color=_COLOUR[verdict], linewidth=3, label=how + words.get(where, ""))
            for verdict in told
            for how, _, where in [verdict.partition(" ")]
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _sides(axes: Axes, y: int, row: dict, colour: str) -> None:
    axes.plot([row["here"]["f1"], row["there"]["f1"]], [y, y], color=colour, linewidth=1.6, zorder=1)
    for side, marker in (("here", "s"), ("there", "o")):
        face = colour if row[side]["claimed"] else "white"  # hollow: by chance
        axes.plot(row[side]["f1"], y, marker, color=colour, markerfacecolor=face, markersize=6, clip_on=False)


def _gap(axes: Axes, y: int, row: dict, colour: str) -> None:
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.6)
    axes.plot(row["difference"], y, "D", color=colour, markersize=5)
