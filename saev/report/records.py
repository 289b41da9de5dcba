"""The records that a study leaves under results/, read and checked: what the page says stands in them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from saev.errors import SaevError, first_line
from saev.files import read_json


class Kind(NamedTuple):
    """A kind of value: what it is called, and whether a value is one."""

    words: str
    holds: Callable[[object], bool]


class Maybe(NamedTuple):
    """A shape whose value may be null, or its key absent, which is the same."""

    shape: object


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


NUMBER = Kind("a number", _is_number)
POSITIVE = Kind("a number >= 0", lambda value: _is_number(value) and value >= 0)
COUNT = Kind("a whole number >= 0", lambda value: _is_number(value) and value >= 0 and value == int(value))
SHARE = Kind("a share in [0, 1]", lambda value: _is_number(value) and -1e-9 <= value <= 1 + 1e-9)
TEXT = Kind("a text", lambda value: isinstance(value, str))

_SPLIT = {
    "images": COUNT,
    "missing": COUNT,
    "labelled": Maybe(TEXT),
    "labelled_patches": Maybe(SHARE),
    "classes": COUNT,
}
_SCORES = {
    "nmse": POSITIVE,
    "l0": POSITIVE,
    "dead": SHARE,
    "dense": SHARE,
    "coherence": NUMBER,
    "n_tokens": COUNT,
    "low": Maybe(NUMBER),
    "high": Maybe(NUMBER),
}
_FIDELITY = {"original": SHARE, "reconstructed": SHARE, "mean": SHARE, "zero": SHARE, "recovered": NUMBER}
_PROBED = ("f1", "f1_train", "ap", "shuffled", "null_f1", "null_f1_95")
_MATCHED = ("f1", "f1_train", "null_f1", "null_f1_95", "ap", "prevalence")
_DOUBTED = ("low", "high", "shuffled", "p", "q", "detectable", "stability")
_INTERVAL = {"low": Maybe(NUMBER), "high": Maybe(NUMBER)}
_OF_ALL = {key: Maybe(SHARE) for key in ("all_f1", "all_low", "all_high")}
_PROBE = {
    "units": Maybe(TEXT),
    "concepts": COUNT,
    "claimed": COUNT,
    **{key: Maybe(SHARE) for key in _PROBED},
    **_INTERVAL,
    **_OF_ALL,
    "linear_probe": Maybe({key: Maybe(SHARE) for key in ("activations", "codes", "majority")}),
}
_MATCHES = [
    {
        "name": TEXT,
        "latent": COUNT,
        "units": COUNT,
        "images": COUNT,
        "clusters": COUNT,
        "folds": COUNT,
        "same": SHARE,
        **{key: SHARE for key in _MATCHED},
        **{key: Maybe(NUMBER) for key in _DOUBTED},
    }
]
_ARM = {"method": TEXT, "place": TEXT}
_CHANGED = {
    key + end: Maybe(shape)
    for key in ("target", "other")
    for end, shape in (("", SHARE), ("_interval", [SHARE]), ("_pooled", SHARE))
}

SHAPES: dict[tuple[str, str], object] = {
    ("extract", "metrics.json"): {"*": _SPLIT},
    ("extract", "classes.json"): {"*": {"*": COUNT}},
    ("head", "metrics.json"): {
        "readout": Maybe(TEXT),
        "reason": Maybe(TEXT),
        **{key: Maybe(SHARE) for key in ("accuracy", "balanced_accuracy", "miou")},
        "units": Maybe(COUNT),
    },
    ("train", "curve.json"): [{"step": COUNT, "sae": TEXT, "mse": POSITIVE, "l0": POSITIVE}],
    ("evaluate", "metrics.json"): {
        "val": _SCORES,
        "train": _SCORES,
        "fidelity": Maybe({**_FIDELITY, "images": COUNT}),
        "stability": Maybe({key: NUMBER for key in ("cosine", "null", "share", "overlap")}),
        "floors": [{"floor": TEXT, "nmse": POSITIVE, "l0": POSITIVE, "gain": NUMBER, **_INTERVAL}],
    },
    ("evaluate", "density.json"): [SHARE],
    ("probe", "metrics.json"): _PROBE,
    ("probe", "described.json"): Maybe(_PROBE),
    ("probe", "classes.json"): _MATCHES,
    ("probe", "concepts.json"): _MATCHES,
    ("probe", "floors.json"): [
        {"floor": TEXT, "of": TEXT, "f1": Maybe(SHARE), "gain": Maybe(NUMBER), **_INTERVAL}
    ],
    ("probe", "latents.json"): [{"latent": COUNT, "maximum": NUMBER, "density": SHARE}],
    ("intervene", "outcome.json"): {
        "reason": Maybe(TEXT),
        "images": COUNT,
        "points": [{**_ARM, "strength": NUMBER, **_CHANGED}],
        "curves": [{**_ARM, "selectivity": Maybe(SHARE), "other_at_80": Maybe(SHARE)}],
        "classes": [{"class": TEXT, "images": COUNT}],
    },
}
"""What each file must hold. Keys that are not named here may be there; "*" stands for all keys."""


class Results:
    """The results of a study in the folder `root`.

    Every method raises a SaevError of one line that names the file which is missing or damaged.
    """

    def __init__(self, root: str | Path = "."):
        self.root = Path(root)

    def read(self, stage: str, cell: str, file: str):
        """A record of a stage about a cell, or about a store, of the shape that SHAPES gives it."""
        path = self.root / "results" / stage / cell / file
        value = read_json(path, f"{stage} stage")
        if fault := mismatch(value, SHAPES[stage, file]):
            raise SaevError(f"{path}: {fault}; run the {stage} stage again")
        return filled(value, SHAPES[stage, file])

    def picture(self, stage: str, cell: str, name: str) -> Path:
        """A PNG of a stage, which must be there and whole."""
        path = self.root / "results" / stage / cell / name
        try:
            with Image.open(path) as image:
                image.load()
        except FileNotFoundError:
            raise SaevError(f"{path}: not there; run the {stage} stage") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise SaevError(f"{path}: damaged: {first_line(error)}; run the {stage} stage again") from None
        return path

    def pages(self, stage: str, cell: str, name: str) -> list[Path]:
        """The PNGs `<name>-1.png`, `<name>-2.png`, ... of a stage, in their order, with none missing."""
        there = len(list((self.root / "results" / stage / cell).glob(f"{name}-*.png")))
        return [self.picture(stage, cell, f"{name}-{page}.png") for page in range(1, there + 1)]


def mismatch(value: object, shape: object, where: str = "") -> str | None:
    """What in `value` is not as `shape` says, in words; None if all is."""
    match shape:
        case Maybe(inner):
            return None if value is None else mismatch(value, inner, where)
        case Kind(words, holds):
            return None if holds(value) else f"{where or 'it'} must be {words}, got {_brief(value)}"
        case [inner]:
            if not isinstance(value, list):
                return f"{where or 'it'} must be a list, got {_brief(value)}"
            return _first(mismatch(item, inner, f"{where}[{i}]") for i, item in enumerate(value))
        case dict():
            if not isinstance(value, dict):
                return f"{where or 'it'} must be a record, got {_brief(value)}"
            expected = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
            absent = [key for key in expected if key not in value and not isinstance(expected[key], Maybe)]
            if absent:
                return f"{_join(where, absent[0])} is missing"
            return _first(
                mismatch(value.get(key), inner, _join(where, key)) for key, inner in expected.items()
            )


def filled(value, shape: object):
    """`value`, of this shape, with null for the keys that may be absent and are."""
    match shape:
        case Maybe(inner):
            return None if value is None else filled(value, inner)
        case [inner]:
            return [filled(item, inner) for item in value]
        case dict():
            expected = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
            return value | {key: filled(value.get(key), inner) for key, inner in expected.items()}
    return value


def _first(faults) -> str | None:
    return next((fault for fault in faults if fault), None)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
