"""Plots of the autoencoders themselves: training, reconstruction, how often latents fire."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from saev.report.lettering import fit
from saev.report.palette import distinct
from saev.report.placement import Words
from saev.report.style import GREY, nothing, percent, scale, styled

DENSE_ABOVE = 0.01
"""Latents that fire on a larger share of the tokens are called dense."""

COSTS = {
    "nmse": ("Error: lower is better", "NMSE", 0.01),
    "f1": ("Concepts: higher is better", "F1 of the chosen latents", 0.1),
    "selectivity": ("Edits: higher is better", "selectivity of their edits", 0.1),
}
"""What sparsity is held against: title, axis, and the least that its end may be."""


def loss_curves(points: list[dict]) -> Figure:
    """Reconstruction error and active latents during training, one line per SAE.

    Args:
        points: records {step, sae, mse, l0}; none where nothing was trained.
    """
    with styled():
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        error, count = figure.subplots(1, 2)
        looks = _looks(point["sae"] for point in points)
        for axes, key in ((error, "mse"), (count, "l0")):
            for name, look in looks.items():
                of = [(point["step"], point[key]) for point in points if point["sae"] == name]
                axes.plot(*zip(*of, strict=True), **look, marker="o" if len(of) == 1 else "")
            scale(axes, "y", [point[key] for point in points])
            axes.set(xlabel="step")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            if not points:
                nothing(axes, "nothing was trained here")
        error.set(title="Error of reconstruction in training", ylabel="squared error / variance")
        count.set(title="Active latents in training", ylabel="active latents per token (L0)")
        _key(figure, looks, list(looks), loc="outside right upper", title="SAE", alignment="left")
    return figure


def frontier(points: list[dict]) -> Figure:
    """Sparsity against what it costs and brings: error, F1 of the chosen latents, selectivity of their edits.

    Args:
        points: records {sae, l0, nmse, f1, selectivity}; what was not measured of any of them is no panel.
    """
    measured = [key for key in COSTS if any(point.get(key) is not None for point in points)]
    with styled():
        figure = Figure(figsize=(1.6 + 3.6 * len(measured), 3.8), layout="constrained")
        looks = _looks(point["sae"] for point in points)
        panels = figure.subplots(1, len(measured), squeeze=False)[0] if measured else []
        for axes, key in zip(panels, measured, strict=True):
            known = [point for point in points if point.get(key) is not None]
            for point in known:
                axes.plot(point["l0"], point[key], **looks[point["sae"]], marker="o", ms=7, clip_on=False)
            scale(axes, "x", [point["l0"] for point in points])
            title, label, least = COSTS[key]
            top = max(1.15 * max(point[key] for point in known), least)
            axes.set(xlabel="active latents per token (L0)", ylabel=label, ylim=(0, top), title=title)
            if key == "nmse" and top > 1:
                axes.axhline(1, color=GREY, linestyle=":", linewidth=1)
                note = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "bottom", "color": GREY}
                axes.text(1, 1, "every token taken for the mean", fontsize=8, **note)
        figure.draw_without_rendering()  # words go where the finished layout leaves room
        for axes, key in zip(panels, measured, strict=True):
            known = [point for point in points if point.get(key) is not None]
            words = Words(axes, [np.array([[point["l0"], point[key]]]) for point in known])
            for point in known:
                at = np.array([[point["l0"], point[key]]])
                words.put(at, [fit(point["sae"], 1.8, 8)], looks[point["sae"]]["color"])
    return figure


def density_histogram(densities: dict[str, np.ndarray]) -> Figure:
    """On which share of the tokens latents fire, one outline per SAE; the legend tells which never do."""
    with styled():
        looks = _looks(densities)
        figure = Figure(figsize=(5.6, 3.8 + 0.22 * (len(looks) // 2)), layout="constrained")
        axes = figure.subplots()
        bins = _bins(np.concatenate([*densities.values(), []]))
        labels = []
        for name, density in densities.items():
            counts, _ = np.histogram(density, bins)
            axes.stairs(counts, bins, linewidth=1.6, **looks[name])
            dead = float((np.asarray(density) == 0).mean()) if len(density) else 0.0
            labels.append(f"{fit(name, 1.1, 9)} ({100 * dead:.1f} % dead)")
        axes.set(xscale="log", xlim=(bins[0], 1), ylim=(0, max(axes.get_ylim()[1], 1)))
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        percent(axes.xaxis)
        axes.axvspan(DENSE_ABOVE, 1, color="#f1f1f1", zorder=0)
        note = {"transform": axes.get_xaxis_transform(), "color": GREY, "fontsize": 8}
        axes.text(DENSE_ABOVE, 1.01, f" dense: > {100 * DENSE_ABOVE:g} %", **note)
        axes.set_title("How often latents fire", pad=16)
        axes.set(xlabel="share of validation tokens on which a latent fires", ylabel="latents")
        _key(figure, looks, labels, loc="outside lower left", ncols=2)
    return figure


def _bins(densities: np.ndarray) -> np.ndarray:
    """From the rarest latent that fires at all to 1; eight a decade, of few latents four."""
    rarest = densities[densities > 0].min(initial=1e-3)
    decades = -int(np.floor(np.log10(rarest)))
    bins = np.logspace(-decades, 0, (8 if len(densities) > 500 else 4) * decades + 1)
    bins[0] = min(bins[0], rarest)  # the logarithm is rounded
    return bins


def _looks(names) -> dict[str, dict]:
    """Colour and dashes of the line of each name."""
    names = list(dict.fromkeys(names))
    dashes = ("-", "--", ":", "-.")
    return {
        name: {"color": colour, "linestyle": dashes[i % len(dashes)]}
        for i, (name, colour) in enumerate(zip(names, distinct(len(names)), strict=True))
    }


def _key(figure: Figure, looks: dict[str, dict], labels: list[str], **where) -> None:
    """The legend, outside the plots."""
    if looks:
        lines = [Line2D([], [], **look) for look in looks.values()]
        figure.legend(lines, [fit(label, 2.2, 9) for label in labels], fontsize=9, **where)
