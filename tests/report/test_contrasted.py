"""Pictures of two groups, and of sparse probes."""

import numpy as np
import pytest

from saev.report import contrasted_latents, save, sparse_curves
from tests.report.studies import few


@pytest.mark.parametrize("n", [0, 1, 400])
def test_every_tested_latent_is_a_point_and_the_surest_have_their_number(tmp_path, n):
    rng = np.random.default_rng(0)
    rows = [
        {"latent": s, "standardised": x, "p": 0.001 * (s + 1), "q": 0.01 if s < n / 2 else 0.5}
        for s, x in enumerate(rng.normal(size=n))
    ]
    figure = contrasted_latents(rows, ("f", "m"))
    (axes,) = figure.axes
    points = sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o")
    assert points == n
    named = {text.get_text() for text in axes.texts}
    assert {str(s) for s in range(min(8, (n + 1) // 2))} <= named
    found = (n + 1) // 2
    assert axes.get_title(loc="left") == f"{found} of {n} latents differ: f, m"
    save(figure, tmp_path / "figure.svg")


def test_so_many_points_that_a_file_of_them_would_be_large_are_one_image(tmp_path):
    rows = [{"latent": s, "standardised": s / 9000, "p": 0.5, "q": 0.5} for s in range(20_000)]
    save(contrasted_latents(rows, ("f", "m")), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size < 200_000


def test_each_dictionary_is_a_curve_and_the_activations_a_line(tmp_path):
    figure = sparse_curves({"classes": few(), "concepts": []})
    (axes,) = figure.axes
    labels = {line.get_label() for line in axes.lines}
    assert {"sae", "random", "x"} <= labels
    (sae,) = [line for line in axes.lines if line.get_label() == "sae"]
    assert sae.get_xdata().tolist() == [1, 4] and sae.get_ydata().tolist() == [0.4, 0.4]
    # Most latents of the first, the SAE: 0.4 with 4, and of x, that reads all, 0.4.
    assert axes.get_title(loc="left") == "classes: 0.40 with 4 latents, 0.40 with all"
    save(figure, tmp_path / "figure.svg")
