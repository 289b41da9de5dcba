"""What surrounds a study on somebody's machine changes no byte of it."""

import os
import subprocess

from tests.pipeline.study import command, environment

MATPLOTLIBRC = """
font.family: serif
font.size: 31
savefig.facecolor: red
savefig.dpi: 37
savefig.bbox: tight
lines.linewidth: 9
axes.grid: False
text.parse_math: True
axes.formatter.use_locale: True
axes.unicode_minus: False
image.cmap: jet
image.interpolation: bicubic
"""


def test_a_figure_is_the_same_under_anybodys_settings(tmp_path):
    """In processes of their own, where matplotlib reads them before anything of ours is imported."""
    draw = (
        "import sys, matplotlib.pyplot; from saev.report import density_histogram, save;"
        "save(density_histogram({'a': [0.1, 0.2, 0.0], '$x_$': [0.5, 0.5, 1e-4]}), sys.argv[1])"
    )
    (tmp_path / "matplotlibrc").write_text(MATPLOTLIBRC)
    theirs = {"MATPLOTLIBRC": str(tmp_path), "LC_ALL": "C", "PYTHONHASHSEED": "7", "MPLBACKEND": "svg"}
    for name, variables in (("a", {}), ("b", theirs)):
        subprocess.run(
            [*command("x")[:1], "-c", draw, str(tmp_path / f"{name}.png")],
            env={**environment(), **variables},
            check=True,
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert os.path.getsize(tmp_path / "a.png") > 1000
