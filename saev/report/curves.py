"""Plots of numbers."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from saev.report.style import COLOURS, styled


def loss_curves(points: list[dict]) -> Figure:
    """Reconstruction error and active latents during training, one line per SAE.

    Args:
        points: records {step, sae, mse, l0}.
    """
    with styled():
        figure, (error, count) = plt.subplots(1, 2, figsize=(9, 3.4))
        for name in dict.fromkeys(point["sae"] for point in points):
            of = [point for point in points if point["sae"] == name]
            error.plot([p["step"] for p in of], [p["mse"] for p in of], label=name)
            count.plot([p["step"] for p in of], [max(p["l0"], 0.1) for p in of], label=name)
        error.set(
            title="Reconstruction error falls",
            xlabel="training step",
            ylabel="squared error / variance",
            yscale="log",
        )
        count.set(
            title="Active latents settle",
            xlabel="training step",
            ylabel="active latents per patch (L0)",
            yscale="log",
        )
        if points:  # there are none of baselines
            error.legend(title="SAE")
    return figure


def frontier(points: list[dict]) -> Figure:
    """Sparsity against fidelity on validation: down and left is better.

    Args:
        points: records {sae, l0, nmse}.
    """
    with styled():
        figure, axes = plt.subplots(figsize=(4.6, 3.6))
        for name in dict.fromkeys(point["sae"] for point in points):
            of = sorted((p["l0"], p["nmse"]) for p in points if p["sae"] == name)
            axes.plot(*zip(*of, strict=True), "o-", label=name)
        axes.set(
            title="Sparsity costs fidelity",
            xlabel="active latents per patch (L0)",
            ylabel="NMSE on validation",
        )
        axes.set_ylim(0, 1.15 * max(p["nmse"] for p in points))
        axes.set_xlim(0, 1.15 * max(p["l0"] for p in points))
        axes.legend(title="SAE")
    return figure


def density_histogram(densities: dict[str, np.ndarray]) -> Figure:
    """How often latents fire, one outline per SAE; dead latents are counted in the legend."""
    with styled():
        figure, axes = plt.subplots(figsize=(4.6, 3.6))
        bins = np.logspace(-5, 0, 41)
        for name, density in densities.items():
            dead = (density == 0).mean()
            axes.hist(
                density[density > 0], bins, histtype="step", linewidth=1.6, label=f"{name} ({dead:.1%} dead)"
            )
        axes.axvline(0.01, color="grey", linestyle=":", linewidth=1)
        axes.text(0.0115, axes.get_ylim()[1] * 0.96, "dense", color="grey", va="top")
        axes.set(
            title="Most latents are rare",
            xlabel="share of validation patches a latent fires on",
            ylabel="latents",
            xscale="log",
        )
        axes.legend(title="SAE")
    return figure


def f1_bars(matches: list[dict]) -> Figure:
    """F1 of the latent chosen for each class, on validation, against latents taken at random.

    Args:
        matches: records of `saev.probing.Match`.
    """
    with styled():
        rows = sorted(matches, key=lambda match: match["f1"])
        y = np.arange(len(rows))
        figure, axes = plt.subplots(figsize=(6, 0.6 + 0.27 * len(rows)))
        axes.barh(y, [row["f1"] for row in rows], color=COLOURS[0], label="chosen latent, validation")
        axes.plot(
            [row["f1_train"] for row in rows],
            y,
            "|",
            color="black",
            markersize=10,
            label="same, training split",
        )
        axes.plot(
            [row["null_f1_95"] for row in rows],
            y,
            "o",
            color=COLOURS[1],
            markersize=4,
            label="95 % of live latents are below",
        )
        axes.set_yticks(y, [f"{row['name']}  #{row['latent']}" for row in rows])
        axes.set(title="One latent per class, as a detector", xlabel="F1 over patches", xlim=(0, 1))
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower right", fontsize=8)
    return figure


def tradeoff(points: list[dict], curves: list[dict]) -> Figure:
    """Target change against other change, one panel per place of the edit, one curve per method.

    Args:
        points, curves: as `saev.intervention.summarise` returns them.
    """
    titles = {
        "all": "Edit on all patches",
        "class": "Edit on the class's patches",
        "active": "Edit where the latent fires",
    }
    with styled():
        figure, panels = plt.subplots(1, len(titles), figsize=(11, 3.9), sharey=True)
        for axes, (place, title) in zip(panels, titles.items(), strict=True):
            for curve in (c for c in curves if c["place"] == place):
                of = [p for p in points if p["place"] == place and p["method"] == curve["method"]]
                x, y = [0, *(p["other"] for p in of)], [0, *(p["target"] for p in of)]
                (line,) = axes.plot(
                    x, y, "o-", markersize=4, label=f"{curve['method']} ({curve['selectivity']:.2f})"
                )
                for p in of:
                    if curve["method"] == "chosen latent":
                        axes.annotate(
                            f"{p['strength']:g}",
                            (p["other"], p["target"]),
                            xytext=(5, -10),
                            textcoords="offset points",
                            fontsize=7,
                            color=line.get_color(),
                        )
            axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
            axes.set(title=title, xlabel="other patches changed", xlim=(-0.02, 1), ylim=(-0.02, 1.02))
            axes.xaxis.set_major_formatter("{x:.0%}")
            axes.yaxis.set_major_formatter("{x:.0%}")
            axes.legend(title="method (selectivity)", fontsize=8, title_fontsize=8, loc="lower right")
        panels[0].set_ylabel("target patches changed")
    return figure
