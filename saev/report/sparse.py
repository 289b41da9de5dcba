"""How few latents tell a concept."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from saev.report.lettering import fit
from saev.report.palette import distinct
from saev.report.style import GREY, styled

MARKERS = "osD^v<>PX*"


def sparse_curves(records: dict[str, list[dict]]) -> Figure:
    """Mean F1 of probes of k latents, of the SAE beside its floors, under what all activations reach.

    Args:
        records: of each kind of concept, {read, k, f1, low, high}; k is None of the dense probes.
    """
    records = {kind: rows for kind, rows in records.items() if rows}
    names = list(dict.fromkeys(row["read"] for rows in records.values() for row in rows if row["k"]))
    with styled():
        figure = Figure(figsize=(1.2 + 3.6 * len(records), 3.5), layout="constrained")
        every = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
        for axes, (kind, rows) in zip(every, records.items(), strict=True):
            for i, (name, colour) in enumerate(zip(names, distinct(len(names)), strict=True)):
                _curve(axes, [row for row in rows if row["read"] == name], colour, MARKERS[i % len(MARKERS)])
            for row in rows:
                if row["k"] is None and row["f1"] is not None:
                    axes.axhline(row["f1"], color=GREY, linestyle="--", linewidth=1.2, label=row["read"])
            axes.set_title(fit(_title(kind, rows), 3.5, 10, "bold"), fontsize=10)
            axes.set(xlabel="latents", xscale="log", ylim=(0, 1))
            ks = sorted({row["k"] for row in rows if row["k"]})
            axes.set_xticks(ks, [str(k) for k in ks])
            axes.xaxis.set_minor_locator(NullLocator())
        every[0].set_ylabel("F1 of the mean concept")
        every[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _title(kind: str, rows: list[dict]) -> str:
    """What the most latents of the SAE reach, which are its first curve, and what all activations do."""
    few = [row for row in rows if row["k"] and row["read"] == rows[0]["read"] and row["f1"] is not None]
    dense = next((row["f1"] for row in rows if row["k"] is None), None)
    if not few:
        return kind
    most = max(few, key=lambda row: row["k"])
    told = f"{kind}: {most['f1']:.2f} with {most['k']} latent{'s' * (most['k'] > 1)}"
    return told if dense is None else f"{told}, {dense:.2f} with all"


def _curve(axes: Axes, rows: list[dict], colour: str, marker: str) -> None:
    rows = [row for row in rows if row["f1"] is not None]
    k, f1 = [row["k"] for row in rows], [row["f1"] for row in rows]
    axes.plot(k, f1, color=colour, marker=marker, markersize=5, label=rows[0]["read"] if rows else None)
    known = [row for row in rows if row["low"] is not None]
    axes.vlines(
        [row["k"] for row in known],
        [row["low"] for row in known],
        [row["high"] for row in known],
        color=colour,
        linewidth=1,
        alpha=0.6,
    )
