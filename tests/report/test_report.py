import re

import numpy as np
import pytest
from matplotlib.image import imread

from saev.intervention.experiment import METHODS, PLACES
from saev.report import (
    density_histogram,
    exemplar_atlas,
    f1_bars,
    frontier,
    loss_curves,
    save,
    segmentation_maps,
    tradeoff,
    write_report,
)
from saev.report.atlas import spotlight


def figures():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
    match = {"name": "cat", "latent": 3, "f1": 0.5, "f1_train": 0.6, "null_f1_95": 0.1}
    curve = {"selectivity": 0.8, "other_at_80": None}
    yield loss_curves(
        [{"step": s, "sae": name, "mse": 1 / (s + 1), "l0": 9 + s} for name in "ab" for s in range(5)]
    )
    yield frontier([{"sae": "a", "l0": 8, "nmse": 0.3}, {"sae": "a", "l0": 32, "nmse": 0.1}])
    yield density_histogram({"a": rng.random(50) ** 4, "b": np.zeros(5)})
    yield f1_bars([match, {**match, "name": "dog"}])
    yield tradeoff(
        [
            {"method": m, "place": p, "strength": -s, "target": s / 2, "other": s / 9}
            for m in METHODS
            for p in PLACES
            for s in (0, 1, 2)
        ],
        [{"method": m, "place": p, **curve} for m in METHODS for p in PLACES],
    )
    yield exemplar_atlas(
        [
            ("cat", images[:2], [rng.random((4, 4))] * 2),
            ("never fires", [], []),
            ("dog", images, [rng.random((4, 4))] * 3),
        ],
        3,
    )
    yield segmentation_maps(
        [("cat", images[0], np.zeros(16, int), np.arange(16) % 2)], ("cat", "dog"), (4, 4), "set to -1"
    )


def test_every_axis_is_named_and_every_figure_titled():
    for figure in figures():
        plots = [axes for axes in figure.axes if axes.axison and len(axes.get_xticks())]
        assert figure.get_suptitle() or any(axes.get_title(loc="left") for axes in figure.axes)
        for axes in plots:
            assert axes.get_xlabel() and (
                axes.get_ylabel() or axes.get_yticklabels() or axes.get_shared_y_axes()
            )


def test_pngs_are_the_same_bytes_each_time(tmp_path):
    for i, (first, second) in enumerate(zip(figures(), figures(), strict=True)):
        save(first, tmp_path / f"{i}a.png")
        save(second, tmp_path / f"{i}b.png")
        assert (tmp_path / f"{i}a.png").read_bytes() == (tmp_path / f"{i}b.png").read_bytes()
        assert imread(tmp_path / f"{i}a.png").std() > 0.01  # something is drawn


def test_spotlight_lights_the_patches_that_fire():
    codes = np.zeros((4, 4))
    codes[0, 0] = 2.0
    lit = spotlight(np.full((64, 64, 3), 200, np.uint8), codes, peak=2.0)
    assert lit[4, 4].min() > 180 and lit[60, 60].max() < 100


def test_report_holds_its_numbers_and_refuses_gaps(tmp_path):
    quality = {"nmse": 0.1234, "l0": 31.5, "dead": 0.01, "dense": 0.2}
    train = {"val": quality, "train": quality, "fidelity": {"accuracy_reconstructed": 0.7, "recovered": 0.95}}
    probe = {
        "f1": 0.51,
        "f1_train": 0.6,
        "null_f1": 0.05,
        "linear_probe": {"activations": 0.8, "codes": 0.75, "majority": 0.1},
    }
    curves = [{"method": "chosen latent", "place": "all", "selectivity": 0.9, "other_at_80": None}]
    cell = {
        "name": "m-v",
        "data": "m",
        "backbone": "v",
        "extract": {"train": {"images": 10}, "val": {"images": 4}},
        "head": {"accuracy": 0.81, "miou": 0.7},
        "saes": [{"name": "topk", "train": train, "probe": probe, "curves": curves}],
    }
    write_report(tmp_path / "index.html", cells=[cell])
    page = (tmp_path / "index.html").read_text()
    for text in ("0.123", "31.5", "81.0 %", "95.0 %", "0.51", "never", "0.900", "m-v/topk/maps.png"):
        assert text in page
    assert not re.search(r'(src|href)="https?:', page)  # nothing is loaded from elsewhere
    del cell["head"]["miou"]
    with pytest.raises(Exception, match="miou"):
        write_report(tmp_path / "index.html", cells=[cell])
