"""Which latents differ between two groups of images."""

import numpy as np
from matplotlib.figure import Figure

from saev.report.bars import by_chance
from saev.report.lettering import fit
from saev.report.palette import COLOURS
from saev.report.style import GREY, nothing, styled

NAMED = 8
"""Latents whose numbers are written beside them."""
MANY = 3000
"""Points; more are drawn as an image within the SVG, which would have megabytes of them."""


def contrasted_latents(rows: list[dict], names: tuple[str, str]) -> Figure:
    """How far the groups are apart in each latent, against how sure that is.

    Args:
        rows: records {latent, standardised, p, q} of what was tested, those with the smallest q first.
        names: of the groups.
    """
    with styled():
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.subplots()
        x, p = (np.array([row[key] for row in rows], float) for key in ("standardised", "p"))
        sure = np.array([not by_chance(row) for row in rows], bool)
        height = -np.log10(p)
        for mask, colour, words in (
            (~sure, GREY, "by chance (q > 0.05)"),
            (sure & (x > 0), COLOURS[0], f"larger in {fit(names[1], 2, 8)}"),
            (sure & (x < 0), COLOURS[1], f"larger in {fit(names[0], 2, 8)}"),
        ):
            label = f"{mask.sum():,} {words}"
            look = {"color": colour, "markersize": 3.5, "alpha": 0.7, "rasterized": len(rows) > MANY}
            axes.plot(x[mask], height[mask], "o", label=label, **look)
        for i in np.flatnonzero(sure)[:NAMED]:
            axes.annotate(
                f"{rows[i]['latent']}", (x[i], height[i]), (3, 3), textcoords="offset points", fontsize=7
            )
        axes.axvline(0, color=GREY, linewidth=1, zorder=0)
        axes.set(xlabel="difference of means / standard deviation", ylabel="p")
        title = f"{sure.sum():,} of {len(rows):,} latents differ: {names[0]}, {names[1]}"
        axes.set_title(fit(title, 5.6, 11, "bold"))
        axes.yaxis.set_major_formatter(lambda value, _: f"{10**-value:.3g}")
        if len(rows):
            figure.legend(loc="outside lower center", fontsize=8, ncols=3, columnspacing=1)
            reach = 1.1 * float(np.abs(x).max() or 1)
            axes.set(xlim=(-reach, reach), ylim=(0, None))
        else:
            nothing(axes, "no latent fires in either group")
    return figure
