"""Images that a table describes, and that are of clusters."""

import numpy as np
import pytest
from PIL import Image

from saev.data import ImageFolder, Mosaic, SemProbe
from saev.data.sample import NO_CLUSTER
from saev.data.table import Table
from saev.errors import SaevError
from tests.activations.examples import make
from tests.data.images import write

HEAD = "image,patient,wing spot,stripes\n"


@pytest.fixture
def folder(tmp_path):
    """Four images, two of them called alike."""
    for i, name in enumerate(("ant/1.png", "ant/2.png", "bee/1.png", "bee/3.png")):
        file = tmp_path / "set/train" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), 40 * i, np.uint8)).save(file)
    return tmp_path / "set"


def described(folder, rows, **options):
    table = folder / "table.csv"
    table.write_text(HEAD + rows, encoding="utf-8")
    return Table(table=str(table), **options).describe(ImageFolder(root=str(folder), split="train"))


ROWS = "3.png,p2,,no\nant/1.png,p1,1,0\n2.png,p1,0,yes\nbee/1.png,,1,?\n"


def test_each_image_has_its_row_wherever_it_stands(folder):
    images = described(folder, ROWS, concepts=("wing spot", "stripes"), cluster="patient")
    assert images.described == "images" and images.clusters == ("p1", "p2")
    told = [images[i].regions for i in range(4)]  # ant/1, ant/2, bee/1, bee/3
    assert [of.concepts_rc.tolist() for of in told] == [[[1, 0]], [[0, 1]], [[1, -1]], [[-1, 0]]]
    assert [int(of.cluster_r[0]) for of in told] == [0, 0, NO_CLUSTER, 1]
    assert images[3].image[0, 0, 0] == 120 and images[3].label == 1  # what it was


def test_a_part_of_the_path_is_a_cluster(folder):
    images = Table(cluster=-2).describe(ImageFolder(root=str(folder), split="train"))
    assert images.clusters == ("ant", "bee")
    assert [int(images[i].regions.cluster_r[0]) for i in range(4)] == [0, 0, 1, 1]


def test_without_a_table_the_source_is_what_it_was(folder):
    images = ImageFolder(root=str(folder), split="train")
    assert Table().describe(images) is images


def test_another_table_is_another_fingerprint(folder):
    first = described(folder, ROWS, concepts=("stripes",)).fingerprint
    assert first != described(folder, ROWS, concepts=("wing spot",)).fingerprint
    assert first != described(folder, ROWS.replace("yes", "no"), concepts=("stripes",)).fingerprint


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (ROWS, {"concepts": ("eyes",)}, "has no column 'eyes'; there are image, patient, wing spot, stripes"),
        (ROWS, {"cluster": "site"}, "has no column 'site'"),
        (
            "1.png,p1,1,0\n2.png,p,1,0\n3.png,p,1,0\nant/1.png,p,0,0\n",
            {"cluster": "patient"},
            "2 rows .*ant/1.png",
        ),
        ("2.png,p1,1,0\n", {"cluster": "patient"}, "no row for the image .*ant/1.png"),
        ("2.png,p,1,0\n2.png,p,1,0\n", {"cluster": "patient"}, "names the image '2.png' twice"),
        (
            ROWS.replace("yes", "maybe"),
            {"concepts": ("stripes",)},
            "stripes of 2.png must be 1, 0 or",
        ),
        (ROWS, {"concepts": ("stripes",), "cluster": -40}, "data.cluster must be a part of .*, got -40"),
    ],
)
def test_what_does_not_fit_is_one_line(folder, rows, options, message):
    with pytest.raises(SaevError, match=message):
        described(folder, rows, **options)


def test_without_a_cluster_each_image_is_one(folder, tiny_vit, tmp_path):
    images = described(folder, ROWS, concepts=("stripes",))
    assert images.clusters == () and [int(images[i].regions.cluster_r[0]) for i in range(4)] == [0, 1, 2, 3]
    assert make(tiny_vit, tmp_path / "acts", images).cluster().ravel().tolist() == [0, 1, 2, 3]


def test_a_source_that_is_described_keeps_its_concepts_under_a_cluster(tmp_path):
    for name in ("red-positive/p1/1.png", "red-negative/p1/1.png", "red-negative/p2/1.png"):
        write(tmp_path / name)
    images = Table(cluster=-2).describe(SemProbe(root=str(tmp_path)))
    assert (images.described, images.concepts, images.clusters) == ("images", ("red",), ("p1", "p2"))
    told = [images[i].regions for i in range(3)]
    assert [(int(of.concepts_rc[0, 0]), int(of.cluster_r[0])) for of in told] == [(0, 0), (0, 1), (1, 0)]


def test_regions_are_of_the_cluster_of_their_image():
    scenes = Mosaic(split="val", n=3, size=64)
    images = Table(cluster=-1).describe(scenes)
    assert (images.described, images.concepts) == ("patches", scenes.concepts)
    for i in range(3):
        ours, theirs = images[i].regions, scenes[i].regions
        assert images.clusters == ("0", "1", "2") and ours.cluster_r.tolist() == [i] * len(theirs.cluster_r)
        np.testing.assert_array_equal(ours.concepts_rc, theirs.concepts_rc)
        np.testing.assert_array_equal(ours.of_pixel, theirs.of_pixel)


def test_only_one_of_source_and_table_names_concepts(tmp_path):
    for name in ("red-positive/1.png", "red-negative/2.png"):
        write(tmp_path / name)
    (tmp_path / "table.csv").write_text("image,odd\n1.png,1\n2.png,0\n")
    table = Table(table=str(tmp_path / "table.csv"), concepts=("odd",))
    with pytest.raises(SaevError, match="data.concepts must be left out: the source itself has red; got odd"):
        table.describe(SemProbe(root=str(tmp_path)))


def test_columns_need_a_table_and_a_table_columns(folder):
    with pytest.raises(
        SaevError, match="data.concepts, data.cluster or data.covariates must name columns of data.table"
    ):
        Table(table="table.csv", cluster=-2)
    with pytest.raises(SaevError, match="data.table must name the CSV that has stripes, patient, got None"):
        Table(concepts=("stripes",), cluster="patient")
    with pytest.raises(SaevError, match="nowhere.csv: no such file; the table of data.table"):
        Table(table="nowhere.csv", cluster="site").describe(ImageFolder(root=str(folder), split="train"))


def test_a_store_keeps_what_the_table_says(tiny_vit, folder, tmp_path):
    images = described(folder, ROWS, concepts=("wing spot", "stripes"), cluster="patient")
    store = make(tiny_vit, tmp_path / "acts", images)
    assert store.concepts().tolist() == [[[1, 0]], [[0, 1]], [[1, -1]], [[-1, 0]]]
    assert store.cluster().ravel().tolist() == [0, 0, NO_CLUSTER, 1]
    assert store.attrs["clusters"] == ["p1", "p2"] and store.attrs["described"] == "images"


def test_covariates_are_read_where_they_are_asked_for(folder):
    images = ImageFolder(root=str(folder), split="train")
    (folder / "table.csv").write_text(HEAD + ROWS, encoding="utf-8")
    table = Table(table=str(folder / "table.csv"), covariates=("patient",))
    assert table.values(images, "patient") == ["p1", "p1", "", "p2"]
    assert table.describe(images) is images  # of which they describe nothing
    with pytest.raises(SaevError, match="data.covariates: 'stripes' is not among them; there are patient"):
        table.values(images, "stripes")
    with pytest.raises(SaevError, match="has no column 'age'"):
        Table(table=table.table, covariates=("age",)).values(images, "age")
