"""Hypotheses and what became of them."""

from typing import Any

from matplotlib.figure import Figure

from saev.report.lettering import fit
from saev.report.palette import COLOURS, DOUBT
from saev.report.results import Results
from saev.report.style import GREY, nothing, styled

LOOKS: dict[str, dict[str, Any]] = {
    "supported": {"color": COLOURS[0], "marker": "o"},
    "refuted": {"color": DOUBT, "marker": "X"},
    "inconclusive": {"color": GREY, "marker": "o", "markerfacecolor": "white"},
}


def gather_verdicts(results: Results) -> list[dict]:
    """The verdicts of the stage verdicts, those that were predicted before the images were seen first."""
    rows = results.read("verdicts", "", "verdicts.json")["verdicts"]
    return sorted(rows, key=lambda row: (row["kind"] != "confirmatory", row["cell"], row["name"]))


def verdicts_plot(rows: list[dict]) -> Figure:
    """Of each hypothesis the effect with its one-sided bounds, and the smallest that would count.

    Args:
        rows: records {name, verdict, kind, effect, low, high, smallest}.
    """
    with styled():
        figure = Figure(figsize=(9, 1.3 + 0.3 * max(len(rows), 2)), layout="constrained")
        axes = figure.subplots()
        # Units differ, and one effect of hundreds would push all others on one line.
        axes.set_xscale("symlog", linthresh=1)
        for y, row in enumerate(rows):
            axes.plot([row["smallest"]] * 2, [y - 0.35, y + 0.35], color="black", linewidth=1.4)
            if row["effect"] is None:
                axes.text(
                    row["smallest"], y, f"  {row['note'] or 'not measured'}"[:60], va="center", fontsize=8
                )
                continue
            low, high = (row["effect"] if row[key] is None else row[key] for key in ("low", "high"))
            look = LOOKS[row["verdict"]]
            axes.plot([low, high], [y, y], color=look["color"], linewidth=1.6)
            axes.plot(row["effect"], y, **look, markersize=6, linestyle="")
        axes.axvline(0, color=GREY, linewidth=0.8)
        names = [f"{fit(row['name'], 2.2, 9)}{' *' if row['kind'] == 'confirmatory' else ''}" for row in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=9)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
        label = "effect minus its control's, in the unit of its measure; logarithmic beyond 1"
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=label)
        axes.grid(axis="y", visible=False)
        counts = [(sum(row["verdict"] == verdict for row in rows), verdict) for verdict in LOOKS]
        axes.set_title(
            ", ".join(f"{n} {verdict}" for n, verdict in counts) + "  (* confirmatory, | what would count)"
        )
        if not rows:
            nothing(axes, "nothing was predicted")
    return figure
