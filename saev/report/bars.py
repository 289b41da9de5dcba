"""How well one latent detects each class."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from saev.report.lettering import fit
from saev.report.palette import COLOURS, DOUBT
from saev.report.style import nothing, styled

SHOWN = 40
"""More classes than so many are not all drawn: the better and the worse half of so many are."""


def f1_bars(rows: list[dict], what: str = "classes") -> Figure:
    """F1 of the latent chosen for each class, on validation, with its interval, beside its null.

    Args:
        rows: records {name, latent, f1, low, high, f1_train, shuffled, q}, one per class.
        what: what they are, in the plural.
    """
    with styled():
        drawn, title = _drawn(rows, what)
        figure = Figure(figsize=(7.8, 1.6 + 0.25 * max(len(drawn), 2)), layout="constrained")
        axes = figure.subplots()
        for y, row in enumerate(drawn):
            if row is not None:
                _bar(axes, y, row)
        labels = ["…" if row is None else f"{fit(row['name'], 2.3, 9)}  #{row['latent']}" for row in drawn]
        axes.set_yticks(range(len(drawn)), labels, fontsize=9)
        scores = [row.get(key) or 0 for row in drawn if row for key in ("f1", "high", "f1_train", "shuffled")]
        axes.set(xlabel="F1", xlim=(0, max([0.1, *(1.03 * score for score in scores)])))
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, weight="bold")
        if not rows:
            nothing(axes, f"none of the {what} was matched with a latent")
        axes.tick_params(axis="y", length=0)
        figure.legend(handles=_handles(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _drawn(rows: list[dict], what: str) -> tuple[Sequence[dict | None], str]:
    """The classes to draw, best first, with a gap where some are left out, and what to call them."""
    found = sum(not by_chance(row) for row in rows)
    told = f"{found} of {len(rows)} {what} have a latent that finds them better than chance"
    ranked = sorted(rows, key=lambda row: -row["f1"])
    if len(ranked) <= SHOWN:
        return ranked, told
    half = SHOWN // 2
    return [*ranked[:half], None, *ranked[-half:]], f"{told} ({half} best, {half} worst)"


def by_chance(row: dict) -> bool:
    """Whether a class's latent does not beat its null, the label maps of other images, at q = 0.05."""
    return row["q"] is None or row["q"] > 0.05


def _bar(axes: Axes, y: int, row: dict) -> None:
    chance = by_chance(row)
    face = "white" if chance else COLOURS[0]
    axes.barh(y, row["f1"], 0.66, color=face, edgecolor=COLOURS[0], hatch="////" * chance)
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [y, y], **_INTERVAL, clip_on=False)
    axes.plot([row["f1_train"]] * 2, [y - 0.33, y + 0.33], **_TRAIN, clip_on=False)
    if row["shuffled"] is not None:
        axes.plot(row["shuffled"], y, **_NULL, clip_on=False)
    axes.annotate(
        f"{row['f1']:.2f}" + "  by chance" * chance,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=DOUBT if chance else "#222222",
    )


_INTERVAL = {"color": "#222222", "linewidth": 1.1, "marker": "|", "markersize": 6}
_TRAIN = {"color": "black", "linewidth": 1.8}
_NULL = {"marker": "D", "color": COLOURS[1], "markeredgecolor": "white", "markersize": 6, "linestyle": ""}


def _handles() -> list:
    """The entries of the legend, in the order of importance."""
    blue = COLOURS[0]
    return [
        Patch(facecolor=blue, edgecolor=blue, label="F1 on validation, chosen elsewhere"),
        Patch(facecolor="white", edgecolor=blue, hatch="////", label="the same, by chance (q > 0.05)"),
        Line2D([], [], **_INTERVAL, label="its 95 % interval over clusters"),
        Line2D([], [], **_NULL, label="its mean with the label maps of other images"),
        Line2D([], [], **_TRAIN, label="F1 where the latent was chosen"),
    ]
