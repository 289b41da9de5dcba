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
    "nmse": ("Least error", min, "NMSE", 0.01),
    "f1": ("Highest F1", max, "F1 of the chosen latents", 0.1),
    "selectivity": ("Most selective edits", max, "selectivity of their edits", 0.1),
}
"""What sparsity is held against: what the best is called, which that is, the axis, and the least that its end
may be."""


def loss_curves(points: list[dict]) -> Figure:
    """Reconstruction error during training, one line per SAE; and active latents, unless their number is
    fixed.

    Args:
        points: records {step, sae, mse, l0}; none where nothing was trained.
    """
    drawn = {"mse": ("Error of reconstruction", "squared error / variance")}
    if any(len(counts) > 1 for counts in _by_sae(points, "l0").values()):
        drawn["l0"] = ("Active latents", "active latents per token (L0)")
    with styled():
        figure = Figure(figsize=(1.6 + 4.4 * len(drawn), 3.4), layout="constrained")
        panels = figure.subplots(1, len(drawn), squeeze=False)[0]
        looks = _looks(point["sae"] for point in points)
        for axes, (key, (what, label)) in zip(panels, drawn.items(), strict=True):
            for name, look in looks.items():
                of = [(point["step"], point[key]) for point in points if point["sae"] == name]
                axes.plot(*zip(*of, strict=True), **look, marker="o" if len(of) == 1 else "")
            scale(axes, "y", [point[key] for point in points])
            axes.set(xlabel="step", ylabel=label, title=_first_and_last(what, points, key))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            if not points:
                nothing(axes, "nothing was trained here")
        _key(figure, looks, list(looks), loc="outside right upper", title="SAE", alignment="left")
    return figure


def _by_sae(points: list[dict], key: str) -> dict[str, list[float]]:
    """The different values of each SAE, in their order."""
    return {
        name: list(dict.fromkeys(point[key] for point in points if point["sae"] == name))
        for name in dict.fromkeys(point["sae"] for point in points)
    }


def _first_and_last(what: str, points: list[dict], key: str) -> str:
    """What the curves show, in numbers: of one SAE both ends, of several the range where they end."""
    ends = {name: values[-1] for name, values in _by_sae(points, key).items()}
    if not ends:
        return what
    low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    if len(ends) == 1:
        return f"{what}: {points[0][key]:.3g} at first, {ends[low]:.3g} in the end"
    name = {end: fit(end, 0.9, 11, "bold") for end in (low, high)}
    return f"{what}: {ends[low]:.3g} ({name[low]}) to {ends[high]:.3g} ({name[high]})"


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
            best_of, best, label, least = COSTS[key]
            first = best(known, key=lambda point: point[key])
            title = f"{best_of}: {fit(first['sae'], 1.2, 11, 'bold')}, {first[key]:.2g}"
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
        axes.set_title(_dense(densities), pad=16)
        axes.set(xlabel="share of validation tokens on which a latent fires", ylabel="latents")
        _key(figure, looks, labels, loc="outside lower left", ncols=2)
    return figure


def _dense(densities: dict[str, np.ndarray]) -> str:
    """How many latents fire often, of the SAEs with the least and the most of them."""
    shares = {
        name: 100 * float((np.asarray(of) > DENSE_ABOVE).mean()) for name, of in densities.items() if len(of)
    }
    if not shares:
        return "How often latents fire"
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    if len(shares) == 1:
        dead = 100 * float((np.asarray(densities[low]) == 0).mean())
        return f"{len(densities[low]):,} latents: {shares[low]:.1f} % dense, {dead:.1f} % dead"
    name = {end: fit(end, 0.8, 11, "bold") for end in (low, high)}
    return f"Dense latents: {shares[low]:.1f} % ({name[low]}) to {shares[high]:.1f} % ({name[high]})"


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
    """The legend, outside the plots; of one line there is nothing to tell apart."""
    if len(looks) > 1:
        lines = [Line2D([], [], **look) for look in looks.values()]
        figure.legend(lines, [fit(label, 2.2, 9) for label in labels], fontsize=9, **where)
