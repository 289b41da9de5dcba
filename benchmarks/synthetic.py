"""A store of random activations, for benchmarks that need its size and not its meaning."""

from pathlib import Path

import numpy as np
import zarr

from saev.activations import Store
from saev.activations.recording import create
from saev.activations.schema import SCHEMA
from saev.data.sample import IGNORE


def synthetic_store(
    path: Path, *, n_images: int, n_patches: int, d: int, chunk: int = 32, seed: int = 0
) -> Store:
    """Write, or reopen, a complete store with one layer, one cls token and Gaussian activations."""
    if not (path / "zarr.json").is_file():
        rows = int(n_patches**0.5)
        spans = {"cls": [0, 1], "patch": [1, 1 + n_patches]}
        attrs = {
            "schema": SCHEMA,
            "backbone": "synthetic",
            "weights": "none",
            "geometry": "none",
            "preprocess": {"size": [224, 224]},
            "n_blocks": 1,
            "d": d,
            "layers": [0],
            "grid": [rows, n_patches // rows],
            "spans": spans,
            "backbone_tokens": spans,
            "dtype": "float16",
            "computed": "by numpy",
            "data": "synthetic",
            "split": None,
            "n_images": n_images,
            "classes": [],
            "purity": 1.0,
            "corrupt": "fatal",
            "chunk": chunk,
            "batch_size": chunk,
        }
        partial = path.with_name(path.name + ".partial")
        create(partial, attrs)
        group = zarr.open_group(str(partial), mode="r+")
        rng = np.random.default_rng(seed)
        for first in range(0, n_images, chunk):
            values = rng.standard_normal((min(chunk, n_images - first), 1 + n_patches, d), np.float32)
            group["acts/0"][first : first + chunk] = values.astype(np.float16)
            group["norms/0"][first : first + chunk] = np.linalg.norm(values, axis=-1)
        group["labels/present"][:] = True
        for key in ("labels/patch", "labels/image"):
            group[key].with_config({"write_empty_chunks": True})[:] = IGNORE
        for kind in spans:
            mean = group.create_array(
                f"stats/0/{kind}/mean", shape=(d,), dtype="float64", config={"write_empty_chunks": True}
            )
            mean[:] = 0
        scalars = {"scale": 1.0, "min": -6.0, "max": 6.0, "median_norm": d**0.5}
        group.attrs["stats"] = {"0": dict.fromkeys(spans, scalars)}
        group.attrs["missing"] = []
        group.attrs["complete"] = True
        partial.rename(path)
    return Store(path)
