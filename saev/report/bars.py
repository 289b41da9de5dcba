"""How well one latent detects each class."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from saev.report.lettering import fit
from saev.report.palette import COLOURS
from saev.report.style import nothing, styled

SHOWN = 40
"""More classes than so many are not all drawn: the better and the worse half of so many are."""


def f1_bars(rows: list[dict]) -> Figure:
    """F1 of the latent chosen for each class, on validation, beside what latents taken at random reach.

    Args:
        rows: records {name, latent, f1, f1_train, null_f1_95}, one per class.
    """
    with styled():
        drawn, title = _drawn(rows)
        figure = Figure(figsize=(7.8, 1.6 + 0.25 * max(len(drawn), 2)), layout="constrained")
        axes = figure.subplots()
        for y, row in enumerate(drawn):
            if row is not None:
                _bar(axes, y, row)
        labels = [row and f"{fit(row['name'], 2.3, 9)}  #{row['latent']}" for row in drawn]
        axes.set_yticks(range(len(drawn)), [label or "…" for label in labels], fontsize=9)
        scores = [row[key] for row in drawn if row for key in ("f1", "f1_train", "null_f1_95")]
        axes.set(xlabel="F1", xlim=(0, max([0.1, *(1.03 * score for score in scores)])))
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, weight="bold")
        if not rows:
            nothing(axes, "no class was matched with a latent")
        axes.tick_params(axis="y", length=0)
        figure.legend(handles=_handles(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _drawn(rows: list[dict]) -> tuple[list[dict | None], str]:
    """The classes to draw, best first, with a gap where some are left out, and what to call them."""
    ranked = sorted(rows, key=lambda row: -row["f1"])
    if len(ranked) <= SHOWN:
        return ranked, "One latent per class, as a detector of the class"
    half = SHOWN // 2
    title = f"One latent per class: the {half} best and the {half} worst detected of {len(rows)} classes"
    return [*ranked[:half], None, *ranked[-half:]], title


def by_chance(row: dict) -> bool:
    """Whether a class's latent is no better than the best twentieth of the live latents is for that class."""
    return row["f1"] <= row["null_f1_95"]


def _bar(axes: Axes, y: int, row: dict) -> None:
    chance = by_chance(row)
    face = "white" if chance else COLOURS[0]
    axes.barh(y, row["f1"], 0.66, color=face, edgecolor=COLOURS[0], hatch="////" * chance)
    axes.plot([row["f1_train"]] * 2, [y - 0.33, y + 0.33], **_TRAIN, clip_on=False)
    axes.plot(row["null_f1_95"], y, **_NULL, clip_on=False)
    axes.annotate(
        f"{row['f1']:.2f}" + "  not above chance" * chance,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color="#b3261e" if chance else "#222222",
    )


_TRAIN = {"color": "black", "linewidth": 1.8}
_NULL = {"marker": "D", "color": COLOURS[1], "markeredgecolor": "white", "markersize": 6, "linestyle": ""}


def _handles() -> list:
    """The entries of the legend, in the order of importance."""
    blue = COLOURS[0]
    return [
        Patch(facecolor=blue, edgecolor=blue, label="F1 on validation"),
        Patch(facecolor="white", edgecolor=blue, hatch="////", label="the same, not above chance"),
        Line2D([], [], **_TRAIN, label="F1 on the training split, where the latent was chosen"),
        Line2D([], [], **_NULL, label="95 % of the live latents are below (chance)"),
    ]
