"""An invented study of any size, and its atlas: what tests and benchmarks of the pages look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from saev.atlas import (
    Fired,
    Latents,
    Names,
    exemplar_maps,
    told_of,
    write_album,
    write_latents,
    write_look,
    write_site,
)
from saev.atlas.script import packed
from saev.features.profiles import EDGES, KEPT, NEAR, QUANTILES, Profile

GRID = (16, 16)
SIZE = 224
CONCEPTS = ("stripes", "text", "dots")


class Source:
    """Codes of images, made up when they are asked for: each exemplar's latent fires on a square of it."""

    def __init__(self, image_sk: np.ndarray, maximum_s: np.ndarray):
        flat = image_sk.ravel()
        self.maximum_s, self.k = maximum_s, image_sk.shape[1]
        self._order = np.argsort(flat, kind="stable")
        self._sorted = flat[self._order]

    def of(self, image: int) -> Fired:
        """The codes of an image, sorted by token."""
        these = slice(*np.searchsorted(self._sorted, [image, image + 1]))
        token, latent, code = [], [], []
        for at in self._order[these]:
            s, k = divmod(int(at), self.k)
            square = (np.arange(6)[:, None] + s % 10) * GRID[1] + np.arange(6) + s % 7
            token.append(square.ravel())
            latent.append(np.full(36, s))
            share = np.linspace(1, 0.2, 36) * (1 - 0.8 * k / self.k)
            code.append((share * self.maximum_s[s]).astype(np.float32))
        if not token:
            return Fired(np.empty(0, int), np.empty(0, int), np.empty(0, np.float32))
        token, latent, code = map(np.concatenate, (token, latent, code))
        order = np.argsort(token, kind="stable")
        return Fired(token[order], latent[order], code[order])


def picture(i: int) -> np.ndarray:
    """(224, 224, 3) uint8: a coarse pattern with a texture, about as hard to compress as a photograph."""
    rng = np.random.default_rng(i)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8)).resize(
        (SIZE, SIZE), Image.Resampling.BICUBIC
    )
    fine = np.asarray(Image.fromarray(rng.integers(0, 50, (56, 56), np.uint8)).resize((SIZE, SIZE)))
    return np.clip(np.asarray(coarse).astype(int) + fine[..., None] - 25, 0, 255).astype(np.uint8)


def profile(latents: int, images: int, seed: int) -> Profile:
    """Some latents are dead, and some dense."""
    rng = np.random.default_rng(seed)
    density_s = np.exp(rng.normal(-6, 1.5, latents)).clip(1e-6, 0.9).astype(np.float32)
    dead_s = np.arange(latents) % 29 == 28
    density_s[dead_s] = 0
    maximum_s = np.where(dead_s, 0, rng.gamma(9, 1, latents)).astype(np.float32)
    histogram_sh = np.zeros((latents, len(EDGES) - 1), np.int64)
    bins = rng.integers(110, 135, (latents, 40))
    np.add.at(
        histogram_sh,
        (np.arange(latents)[:, None], bins),
        (~dead_s)[:, None] * rng.integers(1, 90, bins.shape),
    )
    # All different, since 7919 is prime.
    image_sk = (rng.integers(0, images, latents)[:, None] + 7919 * np.arange(2 * KEPT)) % images
    strongest_sk, spread_sk = image_sk[:, :KEPT], image_sk[:, KEPT:]
    strongest_sk[dead_s] = spread_sk[dead_s] = -1
    near = rng.integers(0, latents, (2, latents, NEAR))
    value = np.sort(rng.random((2, latents, NEAR)), -1)[..., ::-1].astype(np.float32)
    quantiles_sq = np.linspace(0.1, 0.8, len(QUANTILES)) * maximum_s[:, None]
    return Profile(
        density_s, np.sqrt(density_s), maximum_s * 0.3, maximum_s, quantiles_sq.astype(np.float32),
        histogram_sh, strongest_sk, spread_sk, near[0], value[0], near[1], value[1],
    )  # fmt: skip


def names(latents: int, concepts: Sequence[str], seed: int) -> Names:
    """Every tenth latent has one."""
    rng = np.random.default_rng(seed)
    claimed = np.arange(latents) % 10 == 3
    f1_s = np.where(claimed, rng.uniform(0.3, 0.9, latents), rng.uniform(0, 0.15, latents))
    low_s, high_s = (np.where(claimed, f1_s + by, np.nan) for by in (-0.08, 0.07))
    p_s = np.where(claimed, 0.01, 0.8)
    return Names(tuple(concepts), np.arange(latents) % len(concepts), f1_s, low_s, high_s, f1_s / 5, p_s)


def records(name: str, images: int) -> tuple[dict[str, list[dict]], list[dict], list[dict]]:
    """Of latents 3 and 5: what the probe, the edits and the causes say."""
    match = {
        "f1": 0.61,
        "low": 0.5,
        "high": 0.7,
        "shuffled": 0.12,
        "q": 0.004,
        "f1_train": 0.66,
        "clusters": 40,
    }
    rows = [
        {"name": name, "latent": 3, **match},
        {"name": "moon", "latent": 5, **match, "q": 0.4, "f1": 0.13},
    ]
    edited = [
        {"class": name, "method": method, "place": place, "strength": strength, "images": 12}
        | {"target": gain * abs(strength - 0.1), "other": 0.1 * gain * abs(strength)}
        for method, gain in (("chosen latent", 0.4), ("random latent", 0.1), ("random direction", 0.2))
        for place in ("all", "class")
        for strength in (0.0, -1.0, -2.0)
    ]
    maps = {"fires": ["0 1 2"] * 3, "effect": ["0 0 3", "0 1 0", "0 0 0"]}
    shares = {"agreement": 0.2, "elsewhere": 0.4, "beyond": 0.5}
    caused = [{"latent": 3, "image": 1 % images, "code": 3.0, **shares, **maps}]
    return {"classes": rows, "concepts": []}, edited, caused


def write_invented(
    out: Path,
    *,
    cells: Sequence[str] = ("first", "second"),
    latents: int = 300,
    images: int = 60,
    browse: int = 4,
    exemplars: int = KEPT,
    concept: str = "stripes",
) -> None:
    """Write an atlas whose cells differ in their seeds; `concept` is the first name."""
    told, concepts = [], (concept, *CONCEPTS[1:])
    for seed, name in enumerate(cells):
        found = profile(latents, images, seed)
        shown = [of[:, :exemplars] for of in (found.strongest_sk, found.spread_sk)]
        source = Source(np.concatenate(shown, 1), found.maximum_s)
        matches, edited, caused = records(concept, images)
        rng = np.random.default_rng(seed)
        of = Latents(
            found,
            *(exemplar_maps(source, image_sk, found.maximum_s, pooled=False) for image_sk in shown),
            {"classes": names(latents, concepts, seed)},
            rng.integers(0, latents, (latents, 2)).astype(np.uint32),
            rng.random((latents, 2)).astype(np.float32),
            told_of(matches, edited, caused, [], {7: "Seen on <b>fur</b> alone."}),
            None,
        )
        for image in range(browse):
            key = f"d/{name}/image-{image}"
            write_look(out, key, source.of(image), found.maximum_s, GRID[0] * GRID[1], pooled=False)
        told.append(record(name, latents, images, browse) | {"concepts": write_latents(out, name, of)})
    albums = [
        write_album(out, str(number), picture, np.arange(n), 128)
        | {"data": "invented", "split": split, "ids": packed(np.arange(n, dtype=np.uint32))}
        for number, (split, n) in enumerate((("train", images), ("val", max(browse, 2))))
    ]
    write_site(out, {"cells": told, "albums": albums})


def record(name: str, latents: int, images: int, browse: int) -> dict:
    """What index.js says of a cell."""
    scores = {"nmse": 0.2, "low": 0.19, "high": 0.21, "l0": 32.0, "dead": 0.03, "dense": 0.1}
    probed = {
        "concepts": 2,
        "claimed": 1,
        "f1": 0.61,
        "low": 0.5,
        "high": 0.7,
        "shuffled": 0.12,
        "units": "patches",
    }
    point = {"method": "chosen latent", "place": "all", "strength": -1.0, "target": 0.5, "other": 0.1}
    return {
        **{"name": name, "data": "invented", "backbone": "none", "layer": 3, "sae": name, "latents": latents},
        **{
            "grid": list(GRID),
            "seeds": ["seed-1", "seed-2"],
            "permutations": 99,
            "untrained": name == "second",
        },
        "images": {"train": images, "val": max(browse, 2)},
        "albums": {"train": 0, "val": 1},
        "notes": {"7": "Seen on <b>fur</b> alone."},
        "browse": [{"id": i, "name": f"val/{i}.png"} for i in range(browse)],
        "scores": {"val": scores, "stability": {"cosine": 0.5, "null": 0.3}},
        "probed": {"classes": probed, "concepts": None},
        "edits": {"reason": None, "images": 12, "points": [point], "curves": []},
    }
