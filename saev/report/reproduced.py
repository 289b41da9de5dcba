"""What edits inside the model do, against what the change of the image does."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saev.report.lettering import fit
from saev.report.outcomes import is_control
from saev.report.palette import COLOURS, distinct
from saev.report.style import GREY, nothing, percent, styled

SCATTERED = ("chosen latent", "random latent", "difference of means")
"""The methods whose pairs are shown one by one: the claim, what says nothing, and the reference to beat."""


def pairs_plot(record: dict) -> Figure:
    """A point for each pair of scenes: by how much the attribute's logit falls by the image's change, and by
    the edit's. On the diagonal an edit does what taking the attribute out of the image does.

    Args:
        record: arms, attributes and points of `saev.intervention.reproduction`.
    """
    arms = first_arms(record["arms"])
    points = record["points"]
    shown = [method for method in SCATTERED if any(arm["method"] == method for arm in arms)]
    names = list(dict.fromkeys(point["attribute"] for point in points))
    looks = {
        name: {"edgecolor": colour, "marker": "osD^vP<>X*"[i % 10], "linewidth": 0.8}
        for i, (name, colour) in enumerate(zip(names, distinct(len(names)), strict=True))
    }
    with styled():
        figure = Figure(figsize=(3.5 * len(shown) + 4.2, 4.6), layout="constrained")
        *panels, bars = figure.subplots(1, len(shown) + 1, width_ratios=[*[1] * len(shown), 1.15])
        for axes, method in zip(panels, shown, strict=True):
            _scatter(axes, method, record, looks)
        for first in panels[:1]:
            first.set_ylabel("fall of the logit by the edit", fontsize=9)
        _shares(bars, arms)
        figure.suptitle(sentence(arms), x=0.01, ha="left", fontsize=12, weight="bold")
        handles = panels[0].get_legend_handles_labels() if panels else ([], [])
        if handles[0]:
            figure.legend(*handles, loc="outside lower left", ncols=10, fontsize=8, handletextpad=0.1)
    return figure


def first_arms(arms: list[dict]) -> list[dict]:
    """Those of the strength that controls are matched to."""
    return [arm for arm in arms if arm["strength"] == arms[0]["strength"]]


def sentence(arms: list[dict]) -> str:
    """What the figure shows, of its own numbers."""
    chosen, random = (
        next((arm for arm in arms if arm["method"] == method), None) for method in SCATTERED[:2]
    )
    if not chosen or chosen["share"] is None:
        return "No latent that beats its null has an attribute here that could be taken out"
    told = f"Edits of the chosen latents do {100 * chosen['share']:.0f} %"
    if chosen["share_low"] is not None:
        told += f" ({100 * chosen['share_low']:.0f} to {100 * chosen['share_high']:.0f})"
    told += " of what taking the concept out of the image does"
    if random and random["share"] is not None:
        told += f", random ones {100 * random['share']:.0f} %"
    return told.replace("-", "\N{MINUS SIGN}")


def _scatter(axes: Axes, method: str, record: dict, looks: dict[str, dict]) -> None:
    claimed = {row["name"] for row in record["attributes"] if row["claimed"]}
    points = record["points"]
    # Falls are drawn upwards: what is asked is how much of the concept goes.
    x_n, y_n = (
        np.array(values) for values in ([-p["image"] for p in points], [-p["edits"][method] for p in points])
    )
    for name, look in looks.items():
        of = [i for i, point in enumerate(points) if point["attribute"] == name]
        face = look["edgecolor"] if name in claimed else "white"
        label = name if name in claimed else f"{name} (beats no null)"
        words, above = fit(label, 2, 8), 2 + (name in claimed)
        axes.scatter(x_n[of], y_n[of], s=18, facecolor=face, label=words, zorder=above, **look)
    every = [value for point in points for value in (point["image"], *(point["edits"][m] for m in SCATTERED))]
    low, high = -max(every, default=0) - 0.5, -min(every, default=-1) + 0.5
    axes.plot([low, high], [low, high], color=GREY, linestyle=":", linewidth=1.2)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axvline(0, color=GREY, linewidth=0.6)
    axes.set(xlim=(low, high), ylim=(low, high), title=method.capitalize(), aspect="equal")
    axes.set_xlabel("fall of the logit by the image's change", fontsize=9)


def _shares(axes: Axes, arms: list[dict]) -> None:
    """The share that each method reproduces, with its interval."""
    known = [arm for arm in arms if arm["share"] is not None]
    for y, arm in enumerate(known):
        colour = GREY if is_control(arm["method"]) else COLOURS[0]
        if arm["share_low"] is not None:
            axes.plot([arm["share_low"], arm["share_high"]], [y, y], color=colour, linewidth=1.6)
        face = "white" if is_control(arm["method"]) else colour
        axes.plot(arm["share"], y, marker="o", markersize=6, color=colour, markerfacecolor=face)
        note = f"r {arm['r']:.2f}, sign {100 * arm['sign']:.0f} %" if arm["r"] is not None else ""
        note = note.replace("-", "\N{MINUS SIGN}")
        beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(note, (1, y), (6, 0), **beside, fontsize=8, va="center", annotation_clip=False)
    axes.axvline(1, color=GREY, linestyle=":", linewidth=1.2)
    axes.axvline(0, color=GREY, linewidth=0.6)
    axes.set_yticks(range(len(known)), [fit(arm["method"], 2.2, 9) for arm in known], fontsize=9)
    axes.set(ylim=(len(known) - 0.4, -0.7), xlabel="share of the image's effect that is reproduced")
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    percent(axes.xaxis)
    if not known:
        nothing(axes, "nothing was measured")
