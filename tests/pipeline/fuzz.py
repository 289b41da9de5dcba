"""Overrides that no user means, of every key that a stage's composed configuration has."""

import io
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tests.pipeline.study import LAYER, QUICK, ROOT, SAE, SCENES, VIT

VALUES = {
    "null": None,
    "''": "",
    "abc": "abc",
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "true": True,
    "[]": [],
    "[1]": [1],
    "{a: 1}": {"a": 1},
    "nan": float("nan"),
    "inf": float("inf"),
    "1e30": 1e30,
    str(2**70): 2**70,
    "missing/folder": "missing/folder",
    "a_folder": "a_folder",
    "a_file": "a_file",
}
"""As they are typed, and as they are read."""
ODD = {
    "[null]": [None],
    "[nan]": [float("nan")],
    "[[1]]": [[1]],
    "[1,1]": [1, 1],
    "[true]": [True],
    "[a,1]": ["a", 1],
    "'8'": "8",
    "'  '": "  ",
    "-inf": float("-inf"),
    "1e-320": 1e-320,
    "../x": "../x",
    "'a\\nb'": "a\\nb",
    "\u540d": "\u540d",
    "x" * 3000: "x" * 3000,
}
"""Of other kinds: for the sections that came later."""
LATER = {
    "counterfactual": ("counterfactual.", "seed"),
    "hypotheses": ("folder", "ledger", "seed"),
    "verdicts": ("folder", "ledger", "out", "seed"),
    "atlas": ("atlas.", "notes", "out", "seed"),
    "compare": ("margin", "out", "seed"),
}
"""Whose keys are tried with ODD values."""

WRITTEN = ("acts", "head_dir", "sae_dir", "floors_dir", "codes", "matches", "contrasts", "results", "out")
"""Keys of places that a stage replaces: an existing folder or an empty name is no value to try them with."""
PLACES = ("", "a_folder", "a_file")

CELL = [*VIT, *SCENES]
BASES = {
    "extract": [*CELL, "layers=[4]", "extract.chunk=16", "machine.workers=0"],
    "head": CELL,
    "train": [*CELL, *LAYER, *SAE, *QUICK, "trainer.steps=3"],
    "floors": [*CELL, *LAYER, *QUICK, "trainer.steps=3", "floors=[frozen-soft,random]"],
    "features": [*CELL, *LAYER],
    "evaluate": [*CELL, *LAYER, "evaluate.fidelity_images=4", "evaluate.train_images=4"],
    "contrast": [*CELL, *LAYER, "contrast.permutations=19"],
    "causes": [*CELL, *LAYER, "causes.latents=1", "causes.pairs=1"],
    "counterfactual": [*CELL, *LAYER, "counterfactual.pairs=1", "counterfactual.draws=1"],
    "hypotheses": [*CELL, *LAYER],
    "probe": [
        *CELL,
        *LAYER,
        "probe.sparse_units=200",
        "probe.max_tokens=200",
        "probe.exemplars=1",
        "probe.permutations=19",
    ],
    "intervene": [
        *(*CELL, *LAYER, "intervene.images=2", "intervene.strengths=[-1]", "intervene.arms=[{place: all}]"),
        "maps.classes=1",
    ],
    "summary": [*CELL, *LAYER],
    "atlas": [*CELL, *LAYER, "atlas.permutations=19", "atlas.browse=1", "atlas.exemplars=1"],
    "compare": [],
    "verdicts": [],
    "report": [],
    "inspect_store": ["store=data/acts/mosaic-timm/train"],
}
"""Runs of the stages of a tiny study that take little."""

SMALL = ["layer=4", "sae.d_sae=32", *QUICK, "trainer.steps=2"]
FITTED = ["layer=4", "sae.d_sae=32", "sae.n_sample=100"]
ABSENT = {"data=hugging_face", "data=cub", "data=ade20k", "data=semprobe", "backbone=open_clip"}
"""What no test downloads: whatever is said, it is one line."""
GROUPS = {
    **{("train", f"sae={name}"): SMALL for name in ("relu", "gated", "jumprelu")},
    **{("train", f"sae={name}"): [*SMALL, "sae.k=4"] for name in ("batchtopk", "random")},
    ("train", "sae=matryoshka"): [*SMALL, "sae.k=4", "sae.prefixes=[8]"],
    **{("train", f"sae={name}"): FITTED for name in ("pca", "kmeans")},
    ("train", "sae=seminmf"): [*FITTED, "sae.rounds=1", "sae.iterations=2"],
    ("train", "sae=neurons"): ["layer=4", "sae.d_sae=128"],
    **{("extract", choice): [] for choice in sorted(ABSENT)},
    **{("extract", choice): [] for choice in ("data=folder", "data=web_dataset", "backbone=dinov2_packaged")},
}
"""Choices of the groups that the runs above leave out: their own keys are tried."""


class Case(NamedTuple):
    """One run, of which the last override is tried; a refusal says all words of one entry of `says`."""

    stage: str
    overrides: tuple[str, ...]
    says: tuple[tuple[str, ...], ...] = ()


class Ended(NamedTuple):
    """How a run ended."""

    code: object
    output: str
    error: BaseException | None = None


def cases() -> Iterator[Case]:
    """Of every stage: each key with each value, sections that are none, keys that are unknown or missing."""
    for stage, base in BASES.items():
        yield from cases_of(stage, base)
    for (stage, choice), more in GROUPS.items():
        group = choice.partition("=")[0]
        cell = [o for o in BASES[stage] if not o.startswith((f"{group}.", f"{group}=", "trainer.", "sae."))]
        yield from cases_of(stage, [*cell, choice, *more], f"{group}.")


def later_cases() -> Iterator[Case]:
    """Of the newer stages: each of their own keys with values of other kinds."""
    for stage, own in LATER.items():
        base = BASES[stage]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            leaves, _ = _keys(OmegaConf.to_container(compose(stage, base)))
        for key in (key for key in leaves if key.startswith(own)):
            for typed, value in ODD.items():
                told = str(value).strip()[:900] if isinstance(value, str) else key
                says = (*_told(key, value), (key, typed), (told,) if told else (key,))
                # A name of a place that can be made is a place.
                if key not in ("out", "ledger") or not isinstance(value, str) or not value.strip():
                    yield Case(stage, (*base, f"{key}={typed}"), says)


def cases_of(stage: str, base: list[str], own: str = "") -> Iterator[Case]:
    """Of the keys that begin with `own`."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        leaves, sections = _keys(OmegaConf.to_container(compose(stage, base)))
    present = not ABSENT & set(base)

    def case(change: str, *says: tuple[str, ...], given: list[str] = base) -> Case:
        return Case(stage, (*given, change), says if present else ())

    for key in (key for key in leaves if key.startswith(own)):
        for typed, value in VALUES.items():
            if key.split(".")[0] not in WRITTEN or value not in PLACES:
                yield case(f"{key}={typed}", *_told(key, value), (key, typed))
        rest = [override for override in base if not override.startswith(f"{key}=")]
        # Without the key its default holds, which for pretrained asks the hub for the model's weights.
        default = (("backbone.model: ",),) if key == "backbone.pretrained" else ()
        yield case(f"~{key}", (key.rpartition(".")[2],), *default, given=rest)
    for section in (section for section in sections if f"{section}.".startswith(own)):
        for change in (f"{section}=null", f"{section}=3", f"{section}=abc", f"{section}=[]", f"~{section}"):
            yield case(change, (section,))
        yield case(f"+{section}.nope=1", (f"{section}.nope",))
    for change in ("+nope=1", "nope=1"):
        yield case(change, ("nope", "there are"))


def _keys(section: dict, prefix: str = "") -> tuple[list[str], list[str]]:
    """The leaves of a configuration, and its sections."""
    leaves, sections = [], []
    for key, value in section.items():
        if isinstance(value, dict):
            more, deeper = _keys(value, f"{prefix}{key}.")
            leaves, sections = leaves + more, [*sections, f"{prefix}{key}", *deeper]
        else:
            leaves.append(prefix + key)
    return leaves, sections


def attempt(cwd: Path, stage: str, overrides: tuple[str, ...]) -> Ended:
    """Run a stage as its users do, but in this process."""
    out, argv = io.StringIO(), sys.argv
    sys.argv = [stage, *overrides]
    try:
        with chdir(cwd), redirect_stderr(out), redirect_stdout(io.StringIO()):
            import_module(f"pipeline.{stage}").main()
    except SystemExit as end:
        return Ended(end.code, out.getvalue())
    except BaseException as error:
        return Ended(None, out.getvalue(), error)
    finally:
        sys.argv = argv
        HydraConfig.instance().cfg = None  # which stays where a process has but one run
    return Ended(0, out.getvalue())


def fault(case: Case, ended: Ended) -> str | None:
    """What is wrong with how a run ended, if anything: it works, or says in one line what is wrong, with the
    key and the value, or the file, before it begins."""
    if ended.error is not None:
        return f"traceback: {type(ended.error).__name__}: {ended.error}"
    if ended.code in (0, None):
        return None
    line = str(ended.code)
    if ended.output.strip():
        return f"began before it refused: {ended.output.strip().splitlines()[0]}: {line}"
    if not line.startswith("error: ") or len(line.splitlines()) != 1:
        return f"not one line: {line!r}"
    if case.says and not any(all(word in line for word in words) for words in case.says):
        return f"does not say {' or '.join(map(' and '.join, case.says))}: {line}"
    return None


def _told(key: str, value: object) -> tuple[tuple[str, ...], ...]:
    """What a refusal of a value says: the key and the value or an entry of it, or a file called after it; or
    what the value makes wrong."""
    parts = [value, *value] if isinstance(value, list) else [value]
    kinds = {
        "layer": ("layer is no option",),  # of a stage that serves all layers, whatever the value
        "backbone": (
            "the backbone: ",
            "do not belong together",
        ),  # another than that which recorded the store
    }
    made = [kinds[of] for of in (key, key.partition(".")[0]) if of in kinds]
    file = (("/", str(value)), (f"error: {value}: ",)) if value not in (None, "") else ()
    return (*((key, repr(part)) for part in parts), *made, *file)
