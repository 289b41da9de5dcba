"""What edits did: target change against other change, with the controls beside the claim."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saev.report.lettering import fit
from saev.report.palette import distinct
from saev.report.placement import Words
from saev.report.style import GREY, percent, styled

CHOSEN = "chosen latent"
"""Methods that begin so ("chosen latent, ablate") are the claim; all others are its controls."""

PLACES = {
    "all": "on every token",
    "class": "on the class's tokens only",
    "predicted": "where the model sees the class",
    "active": "where the latent fires",
}
"""Where an edit acts, in words; a place that is not here keeps its name."""


def is_control(method: str) -> bool:
    """Whether a method is what the claim is held against."""
    return not method.startswith(CHOSEN)


def tradeoff(points: list[dict], curves: list[dict]) -> Figure:
    """Target change against other change, one panel per place of the edit, one curve per method.

    Args:
        points: records {method, place, strength, target, target_interval, other, other_interval}, null where
            nothing was measured.
        curves: records {method, place, selectivity}, which the legends quote.
    """
    places = list(dict.fromkeys(point["place"] for point in points)) or ["all"]
    looks = _looks(list(dict.fromkeys(point["method"] for point in points)))
    measured = [point for point in points if point["target"] is not None and point["other"] is not None]
    with styled():
        columns = min(len(places), 3)
        lines = -(-len(places) // columns)
        figure = Figure(
            figsize=(max(4.2 * columns, 6), (3.7 + 0.22 * len(looks)) * lines), layout="constrained"
        )
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes in panels.flat[len(places) :]:
            axes.remove()
        for axes in panels[:, 0]:
            axes.set_ylabel("target changed")
        panels = dict(zip(places, panels.flat, strict=False))
        for place, axes in panels.items():
            _panel(axes, place, [point for point in measured if point["place"] == place], looks)
            _key(axes, looks, {curve["method"]: curve for curve in curves if curve["place"] == place})
        axes.set_ylim(0, 1.06 * max((high for p in measured for high in _span(p, "target")), default=0) or 1)
        title = "\n".join(fit(line, figure.get_figwidth() - 0.2, 12, "bold") for line in found(measured))
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        figure.draw_without_rendering()  # words go where the finished layout leaves room
        for place, axes in panels.items():
            _strengths(axes, [point for point in measured if point["place"] == place], looks)
    return figure


def found(points: list[dict]) -> list[str]:
    """What the strongest edits of the first claim do at its first place, and their control, in two lines."""
    claims = [point for point in points if not is_control(point["method"])]
    if not claims:
        return ["Nothing was measured"]
    first = [p for p in claims if (p["place"], p["method"]) == (claims[0]["place"], claims[0]["method"])]
    most = max(first, key=lambda point: abs(point["strength"]))
    strength = f"{most['strength']:g}".replace("-", "\N{MINUS SIGN}")
    place = PLACES.get(most["place"], most["place"])
    told = [f"Edits of strength {strength} {place} change {100 * most['target']:.0f} % of the target"]
    others, control = f"and {100 * most['other']:.0f} % of the others", most.get("control_target")
    return [
        *told,
        others if control is None else f"{others}; the control {100 * control:.0f} % of the target",
    ]


def _looks(methods: list[str]) -> dict[str, dict]:
    """Full lines and markers for claims, broken lines and hollow markers for controls; no two alike."""
    looks = {}
    methods = sorted(methods, key=is_control)
    for i, (method, colour) in enumerate(zip(methods, distinct(len(methods)), strict=True)):
        looks[method] = {"color": colour, "marker": "osD^vP<>"[i % 8], "markersize": 5.5}
        if is_control(method):
            dashes = ("--", ":", "-.")[i % 3]
            looks[method] |= {"linestyle": dashes, "linewidth": 1.2, "markerfacecolor": "white"}
    return looks


def _panel(axes: Axes, place: str, points: list[dict], looks: dict[str, dict]) -> None:
    """The curves of one place, from where nothing is edited, and the intervals of their points."""
    for method, look in looks.items():
        thin = {"color": look["color"], "linewidth": 0.9, "alpha": 0.6, "zorder": 1.8}
        for point in (point for point in points if point["method"] == method):
            axes.plot(_span(point, "other"), [point["target"]] * 2, **thin)
            axes.plot([point["other"]] * 2, _span(point, "target"), **thin)
        line = _line(points, method)
        axes.plot(*line.T, **look, markevery=slice(1, None), zorder=2 + (not is_control(method)))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (1, 3)), linewidth=1, scalex=False, scaley=False)
    axes.set_xlim(0, 1.06 * max((high for p in points for high in _span(p, "other")), default=0) or 0.01)
    percent(axes.xaxis)
    percent(axes.yaxis)
    axes.set_title(fit(f"Edited {PLACES.get(place, place)}", 3.6, 11, "bold"))
    axes.set_xlabel("others changed")
    if not points:
        axes.text(0.5, 0.5, "nothing was measured here", transform=axes.transAxes, ha="center", color=GREY)


def _line(points: list[dict], method: str) -> np.ndarray:
    """(n + 1, 2) other and target change of a method, from (0, 0) on through its strengths."""
    of = [(point["other"], point["target"]) for point in points if point["method"] == method]
    return np.array([(0.0, 0.0), *of])


def _span(point: dict, which: str) -> list[float]:
    """The interval of target or other change, or its value twice where there is none."""
    return point.get(f"{which}_interval") or [point[which]] * 2


def _key(axes: Axes, looks: dict[str, dict], curves: dict[str, dict]) -> None:
    """The legend of a panel, below it: each method with the one number that sums it up."""
    handles = []
    for method, look in looks.items():
        value = curves.get(method, {}).get("selectivity")
        number = "not measured" if value is None else f"selectivity {value:.2f}"
        handles.append(Line2D([], [], **look, label=f"{fit(method, 2, 8)}: {number}"))
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=8, borderpad=0)


def _strengths(axes: Axes, points: list[dict], looks: dict[str, dict]) -> None:
    """Write the strengths beside the points of the claims; those of the controls come in the same order."""
    words = Words(axes, [_line(points, method) for method in looks])
    for method in looks:
        if not is_control(method):
            of = [
                f"{point['strength']:g}".replace("-", "\N{MINUS SIGN}")
                for point in points
                if point["method"] == method
            ]
            words.put(_line(points, method)[1:], of, looks[method]["color"])
