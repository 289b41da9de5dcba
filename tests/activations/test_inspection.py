import shutil

import numpy as np
import pytest
import zarr

from saev.activations import inspect_store
from saev.data import Mosaic
from saev.errors import SaevError
from tests.activations.examples import flip_a_byte, make


@pytest.fixture
def copy(stores, tmp_path):
    """The directory of a complete store that a test may damage."""
    shutil.copytree(stores["train"].path, tmp_path / "s")
    return tmp_path / "s"


def test_a_whole_store(stores):
    found = inspect_store(stores["train"].path)
    assert found.whole and found.shape == (40, 17, 24) and found.bytes_per_second > 0
    assert found.integrity["acts/1"].expected == 5
    assert set(found.outliers) == {(layer, kind) for layer in (1, 2) for kind in ("cls", "patch")}


@pytest.mark.parametrize("lost", ["norms/1", "acts/1", "stats", "labels/present"])
def test_misses_whole_arrays(copy, lost):
    shutil.rmtree(copy / lost)
    found = inspect_store(copy)
    assert not found.whole and {name for name, part in found.integrity.items() if part.missing} == {
        name for name in found.integrity if name.startswith(lost)
    }


def test_finds_the_damaged_chunk(copy):
    flip_a_byte(copy / "acts/2/c/1/0/0")
    found = inspect_store(copy)
    assert not found.whole and found.integrity["acts/2"].damaged == [1]
    assert [name for name, part in found.integrity.items() if part.damaged] == ["acts/2"]


def test_tells_what_is_missing_of_an_incomplete_store(copy, tmp_path):
    (copy / "acts/1/c/4/0/0").unlink()
    group = zarr.open_group(str(copy), mode="r+")
    for key in ("complete", "sha256", "stats", "missing"):
        del group.attrs[key]
    found = inspect_store(copy)
    assert not found.whole and found.integrity["acts/1"].missing == [4]
    with pytest.raises(SaevError, match="no activation store"):
        inspect_store(tmp_path)


def test_outlier_table_against_numpy(tiny_vit, tmp_path, monkeypatch):
    """Planted: one dimension 50 times the others, and artefact tokens of 1000 times the norm."""
    prefix = type(tiny_vit).prefix

    def planted(self, pixels, layers):
        acts = prefix(self, pixels, layers)
        acts[0][..., 7] *= 50
        acts[0][:, 3] *= 1000
        return acts

    monkeypatch.setattr(type(tiny_vit), "prefix", planted)
    store = make(tiny_vit, tmp_path, Mosaic(split="train", n=20, size=64), layers=[2])
    row = inspect_store(store.path).outliers[2, "patch"]
    x = store.acts(2)[:, 1:].reshape(-1, 24).astype(np.float32)
    norms = np.linalg.norm(x, axis=1)
    quantiles = np.quantile(norms, [0.5, 0.99, 1], method="inverted_cdf")
    np.testing.assert_allclose(row.norms, quantiles, rtol=0.011)  # in steps of 1 %
    assert row.artefacts == pytest.approx((norms > 3 * np.median(norms)).mean(), abs=0.01)
    assert row.artefacts > 1 / 16 - 0.01
    rms = np.sqrt((x**2).mean(0))
    assert row.dimensions[0][0] == 7 == rms.argmax()
    assert row.dimensions[0][1] == pytest.approx(rms[7] / np.median(rms), rel=1e-4)
    assert row.massive == sum(
        (np.abs(chunk) > max(100, 1000 * np.median(np.abs(chunk[:256])))).sum()
        for chunk in (x[:128], x[128:256], x[256:])
    )


def test_the_stage_shows_names_as_they_are(registers, tmp_path, capsys, monkeypatch):
    """An image may be named like rich's markup, or move the cursor."""
    from omegaconf import OmegaConf

    from pipeline.inspect_store import main
    from tests.activations.examples import Damaged

    names = {1: "x[/b].png", 2: "y[red].png", 3: "z\n\x1b[2J\\"}

    class Named(Damaged):
        def name(self, i):
            return names.get(i, f"[bold]{i}")

    images = Named(names, split="train", n=6, size=84)
    store = make(registers, tmp_path, images, corrupt="missing", split="[train]")
    monkeypatch.setenv("COLUMNS", "400")
    main(OmegaConf.create({"store": str(store.path)}))
    out = capsys.readouterr().out
    assert "x[/b].png, y[red].png, z\\n\\x1b[2J\\" in out and "\x1b[2J" not in out
    assert "[train]" in out and "4 x 6" in out
    (line,) = (line for line in out.splitlines() if " acts/1 " in line)
    assert line.split("│")[2].strip() == "1"

    (store.path / "acts/1/c/0/0/0").unlink()
    with pytest.raises(SystemExit, match="not whole; run the extract stage again$"):
        main(OmegaConf.create({"store": str(store.path)}))
