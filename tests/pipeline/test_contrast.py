"""Two groups of a user's images, told apart by a column of a table, one like the other in all else."""

import csv
import json

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from tests.data.images import encoded, write
from tests.pipeline.study import LAYER, QUICK, SAE, VIT, here

N = 60
SIZES = ((64, 64), (90, 70), (64, 120))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Images of a dark and of a light site; those of sex f have stripes, and are more often of the light."""
    cwd, rng = tmp_path_factory.mktemp("contrast"), np.random.default_rng(0)
    rows = ["image,sex,site,specimen"]
    for split in ("train", "val"):
        for i in range(N):
            female, light = i % 2 == 0, rng.random() < (0.7 if i % 2 == 0 else 0.3)
            pixels = rng.normal(190 if light else 60, 20, (*SIZES[i % 3], 3))
            pixels[::8] += 60 * female
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            name, kind = (f"{split}{i}.jpg", "JPEG") if i % 3 else (f"{split}{i}.png", "PNG")
            write(cwd / "set" / split / name, encoded(image.convert("L") if i % 5 == 0 else image, kind))
            rows.append(f"{name},{'?' if i == 7 else 'fm'[not female]},{'ab'[light]},{split}{i // 2}")
    (cwd / "told.csv").write_text("\n".join(rows).replace(",?,", ",,"))
    common = ["data=folder", f"data.root={cwd}/set", f"+data.table={cwd}/told.csv", *VIT]
    common += ["+data.covariates=[sex,site]"]
    here(cwd, "extract", *common, "layers=[4]", "extract.chunk=16")
    here(cwd, "train", *common, *LAYER, *SAE, *QUICK)
    here(cwd, "features", *common, *LAYER)
    return cwd, [*common, *LAYER]


def contrasted(study, *options):
    cwd, common = study
    here(cwd, "contrast", *common, "contrast.by=sex", *options)
    (folder,) = cwd.glob("results/contrast/*")
    return json.loads((folder / "metrics.json").read_text()), cwd / "data/contrast" / folder.name


def test_what_differs_is_found_and_told_in_tables_that_other_programs_open(study):
    import anndata

    found, tables = contrasted(study, "contrast.groups=[f,m]", "contrast.strata=site")
    assert found["groups"] == ["f", "m"] and sum(found["images"]) == N - 1 and found["claimed"] > 0
    with open(tables / "latents.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["tested"] and int(rows[0]["latent"]) == found["largest"][0]["latent"]
    frame = pyarrow.parquet.read_table(tables / "latents.parquet").to_pandas()
    assert (frame["q"] <= 0.05).sum() == found["claimed"]
    cells = anndata.read_h5ad(tables / "codes.h5ad")
    assert cells.shape == (N, 96) and (cells.obs["value"] != "").sum() == N - 1
    effect = cells.var["effect"].astype(float)
    np.testing.assert_allclose(effect[frame["latent"].astype(str)], frame["effect"])


def test_with_strata_a_site_is_no_longer_a_difference_of_sexes(study):
    """Within sites the means of the groups are nearer to each other than over both."""
    within, _ = contrasted(study, "contrast.strata=site")
    over, _ = contrasted(study)
    assert within["strata"] == "site" and over["strata"] is None
    assert within["claimed"] < over["claimed"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["contrast.groups=[f,x]"], "sex of no image of val is x: f, m"),
        (["contrast.groups=[f]"], "must be two different values of sex, or \\[\\], got \\['f'\\]"),
        (["contrast.by=age"], "'age' is not among them; there are sex, site"),
        (["contrast.strata=age"], "'age' is not among them"),
    ],
)
def test_groups_that_are_not_there_are_one_line(study, options, line):
    with pytest.raises(SystemExit, match=f"^error: .*{line}[^\n]*$"):
        contrasted(study, *options)
