"""The examples in docs/ run as they are printed, on a store made here."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from saev.intervention import SELECTORS
from saev.intervention.edits import EDITS
from saev.intervention.places import PLACES
from saev.sae import SAE, BatchTopK, formats, load_sae, save_sae
from tests.app.examples import bench_of

DOCS = Path(__file__).parents[1] / "docs"
STORE = "data/acts/mosaic-dinov2_packaged/val"


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)


@pytest.mark.parametrize("library", ["zarr", "tensorstore", "saev"])
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a stranger's open() without close
def test_store_examples(library, stores):
    (code,) = (
        example
        for example in examples("activation-store.md")
        if re.search(rf"^(import|from) .*{library}", example, re.M)
    )
    assert code.strip().count("\n") < 10 and STORE in code
    names: dict = {}
    exec(code.replace(STORE, str(stores["train"].path)), names)
    if library == "saev":
        assert names["batch"].shape == (512, 24) and names["acts"].shape == (8, 16, 24)
        np.testing.assert_array_equal(names["some"], stores["train"].acts(1)[:, 1:][[3, 0], [1, 5]])
    else:
        np.testing.assert_array_equal(names["acts"], stores["train"].acts(1)[:32, 1:])
    if library == "zarr":
        # The normalised activations have mean 0 and mean norm sqrt(d) over the store; 32 of 40 come close.
        assert np.linalg.norm(names["x"], axis=-1).mean() == pytest.approx(24**0.5, rel=0.05)
        assert names["labels"].shape == (32, 16)


def test_the_notebook_lines_of_the_readme(stores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sae = SAE(BatchTopK(d_sae=48, k=4), torch.zeros(24), 1.0)
    save_sae(sae, "data/sae/mosaic-dinov2_packaged-L10-topk")
    (code,) = examples("../README.md")
    assert STORE in code and "tokens(10)" in code
    names: dict = {}
    exec(code.replace(STORE, str(stores["val"].path)).replace("tokens(10)", "tokens(1)"), names)
    assert names["x"].shape == names["x_hat"].shape == (8 * 16, 24)
    torch.testing.assert_close(names["f"], sae.encode(names["x"]))


def test_formats_examples(tmp_path, monkeypatch):
    """The one's codes after three libraries' files, and the other's by its formula."""
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 6, generator=generator)
    sae = SAE(BatchTopK(d_sae=9, k=2), torch.ones(6), 1.5)
    save_sae(sae, "data/sae/mine")
    shapes = {"encoder": (9, 6), "bias": (9,), "dictionary": (9, 6), "centre": (6,)}
    mine = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    mine["threshold"] = torch.rand(9, generator=generator)
    torch.save(mine, "mine.pt")
    interchange, own = examples("formats.md")
    names: dict = {"x": x}
    exec(interchange, names)
    torch.testing.assert_close(names["codes"], sae.encode(x))
    torch.testing.assert_close(load_sae("data/sae/theirs").encode(x), sae.encode(x))
    exec(own, names)
    pre = (x - mine["centre"]) @ mine["encoder"].T + mine["bias"]
    expected = torch.where(pre > mine["threshold"], pre, 0)
    torch.testing.assert_close(load_sae("data/sae/mine_assembled").encode(x), expected)


def test_the_formats_page_names_every_reader():
    rows = re.findall(r"^\| `(load_\w+)` \|", (DOCS / "formats.md").read_text(), re.M)
    assert sorted(rows) == sorted(name for name in vars(formats) if name.startswith("load_"))


def test_store_page_quotes_the_committed_benchmarks():
    page = (DOCS / "activation-store.md").read_text()
    results = {
        name: json.loads((DOCS.parent / f"benchmarks/results/{name}.json").read_text())
        for name in ("extraction", "reading", "mixing")
    }
    images, warm, cold = (
        results["extraction"]["images_per_s"],
        *(results["reading"][f"{w}_vectors_per_s"] for w in ("warm", "cold")),
    )
    for quoted in (
        f"{images['decoded']} images/s | {images['bare']}: timm",
        f"{images['with_decoding']} images/s |",
        f"{warm['stream'] / 1e6:.2f} M vectors/s | {warm['memmap_sequential'] / 1e6:.2f} M: numpy",
        f"{warm['random_row_loader'] / 1e6:.2f} M: a DataLoader",
        f"{cold['stream'] / 1e6:.2f} M vectors/s | {cold['files_in_order'] / 1e6:.2f} M: the files",
        f"{cold['random_row_loader'] / 1e6:.3f} M: random rows",
        "{added_mb} MB | {window_mb} MB: its window".format(**results["reading"]["peak_memory"]),
    ):
        assert quoted in page
    shares = results["mixing"]["of_a_perfect_shuffle"]
    for window, label in ((2, "2"), (8, "8"), (32, "32 (default)"), (128, "128"), (680, "all")):
        cells = [
            next(v for k, v in shares.items() if k.startswith(f"batch {batch}, window {window} "))
            for batch in (2048, 16384)
        ]
        row = " | ".join(f"{cell['entropy']:.2f}, {cell['images']:.2f}" for cell in cells)
        assert f"| {label} | {row} |" in page


def test_architecture_page_quotes_the_committed_benchmarks():
    page = (DOCS / "architectures.md").read_text()
    recovery, step = (
        json.loads((DOCS.parent / f"benchmarks/results/{name}.json").read_text())["results"]
        for name in ("recovery", "train_step")
    )
    for name, r in recovery.items():
        assert f"| {name} | {r['mmcs']:.3f} | {r['f1']:.2f} | {r['l0']:.1f} | {r['nmse']:.3f} |" in page
    for shape in ("d 384, latents 12288, batch 2048", "d 768, latents 24576, batch 2048"):
        for name in step[shape].keys() - {"encoder_gemm"}:
            if name.endswith(", fp32 product"):
                continue
            runs = step[shape][name], step[shape][f"{name}, fp32 product"]
            figures = (x for run in runs for x in (f"{run['tokens_per_s']:,}", run["times_gemm"]))
            assert f"| {name} | {' | '.join(map(str, figures))} |" in page


def test_pages_quote_the_committed_comparisons():
    pages = {name: (DOCS / f"{name}.md").read_text() for name in ("architectures", "training")}
    shapes, sweep = (
        json.loads((DOCS.parent / f"benchmarks/results/{name}.json").read_text())
        for name in ("peers", "sweep")
    )
    libraries = ("eai-sparsify", "dictionary-learning", "sae-lens", "overcomplete")

    def gain(result):
        return min(result[library]["ms"] for library in libraries if library in result) / result["ours"]["ms"]

    first, *others = shapes["results"].values()
    for kind, result in first.items():
        cells = [
            f"{result[name]['tokens_per_s']:,}" if name in result else ""
            for name in ("ours", "ours, fp32 product", *libraries)
        ]
        assert f"| {kind} | {' | '.join(cells)} | {gain(result):.2f} |" in pages["architectures"]
    for shape, kinds in zip(list(shapes["results"])[1:], others, strict=True):
        assert (
            f"| {shape} | {' | '.join(f'{gain(result):.2f}' for result in kinds.values())} |"
            in pages["architectures"]
        )
    one, eight = (f"{sweep[key]:.0f} s" for key in ("one_stream_s", "eight_runs_s"))
    quoted = f"took {one} instead of {eight} here, {sweep['faster']} times as fast"
    assert quoted in pages["training"]


def test_the_performance_page_quotes_the_committed_benchmarks():
    page = (DOCS / "performance.md").read_text()
    found = {
        name: json.loads((DOCS.parent / f"benchmarks/results/{name}.json").read_text())
        for name in ("stages", "certified", "extraction", "codes", "probing", "profiles", "interventions")
    }
    stages = dict(found["stages"]["stages"])
    total = stages.pop("total")["seconds"]
    assert f"{total:.0f} s in all" in page
    for name, stage in stages.items():
        seconds, products = stage["seconds"], stage.get("products")
        limit = f"{products} | {seconds / products:.1f}" if products else " | "
        assert f"| {name} | {seconds} | {seconds / total:.0%} | {limit} |" in page
    for name, run in found["certified"]["results"].items():
        again = f"{run['unproven']:.2%}" if name == "TopK" else ""
        row = f"| {name} | {run['same']:.3%} | {run['ties']:.3%} | {run['worst']:.0e} | {again} |"
        assert row in page
    assert f"gives {found['extraction']['decoded_over_bare']:.2f} of the images/s" in page
    codes = found["codes"]["results"]
    assert f"{codes['tokens']:,} tokens (TopK, k 32, {codes['latents']:,} latents" in page
    for part in found["probing"]["results"].values():
        assert all(f"{value} {'GB' if key == 'peak_gb' else 's'}" in page for key, value in part.items())
    for tokens, part in found["profiles"]["results"].items():
        row = f"| {tokens} | {part['update_s']} | {part['compute_s']} | {part['peak_gb']} |"
        assert row in page
    edits, words = found["interventions"], " ".join(page.split())
    ours, naive = (edits[name]["cpu_seconds"] for name in ("ours", "naive"))
    by_cpu, by_clock = (edits["naive_over_ours"][key] for key in ("cpu_seconds", "seconds"))
    assert f"{ours} CPU seconds against {naive}, {by_cpu} times less ({by_clock} by the clock" in words
    assert f"{edits['edits']} edits and controls" in words and f"all of {edits['units']:,} units" in words
    assert edits["machine"].startswith("shared") and edits["counted_otherwise"] == 0
    assert f"at {codes['written_per_s']:,} tokens/s, {codes['share']:.2f} of the" in page


def test_the_table_of_reliability_is_what_the_tests_found():
    from tests.tally import PAGE, table

    assert table() in PAGE.read_text()


def test_laboratory_example(stores, tiny_vit, task):
    names: dict = {"bench": bench_of(stores, tiny_vit, task)}
    (code,) = examples("laboratory.md")
    exec(code, names)
    assert names["found"].arms == ("edit", "random latent", "random direction")
    assert names["found"].logits_auc.shape == (3, 16, 16) and names["rows"][0]["code"] > 0


def test_the_prediction_on_the_page_is_the_one_of_the_study():
    (shown,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "interventions.md").read_text(), re.S)
    file = DOCS.parent / "conf/hypothesis/stripes-unseen.yaml"
    assert yaml.safe_load(shown) == yaml.safe_load(file.read_text())


@pytest.mark.parametrize(("key", "table"), [("edit", EDITS), ("place", PLACES), ("selector", SELECTORS)])
def test_the_page_of_edits_names_every_kind(key, table):
    (row,) = re.findall(rf"^\| `{key}` \|(.*)\|$", (DOCS / "interventions.md").read_text(), re.M)
    assert set(re.findall(r"`([^`/]+)`", row)) == set(table)
