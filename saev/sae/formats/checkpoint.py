"""A trained SAE on disk or on the hub: a folder with `sae.safetensors` and `config.json`."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from saev.errors import SaevError, first_line
from saev.files import digest, write_by, write_json
from saev.outputs import new_directory
from saev.sae.formats.hub import local, upload
from saev.sae.model import SAE, Architecture

if TYPE_CHECKING:  # stores come with zarr, and an SAE by itself needs none
    from saev.activations import Origin

SCHEMA = 3
"""1 had no `sha256`; 2 said in which precision it was trained. Both are still read."""
CONFIG, WEIGHTS = "config.json", "sae.safetensors"
FILES = {r"config\.json": '"architecture"', r"sae\.safetensors": None}
"""By which an SAE's folder is known (saev/outputs.py)."""
CARD = """---
library_name: saev
tags: [sparse-autoencoder, interpretability, vision]
---
# {architecture} SAE on layer {layer} of {backbone}

{d_sae} latents on activations of width {d}.

```python
from saev.sae import load_sae

sae = load_sae("hf://{repo}")
f = sae.encode(x)  # raw activations (n, {d}) -> codes (n, {d_sae}); it owns their normalisation
```

{metrics}
"""


def save_sae(sae: SAE, path: str | Path, **facts: object) -> None:
    """Write `sae` to the folder `path`, its config with its origin, if known, and `facts` such as metrics.

    Raises:
        SaevError: a value is not finite, or the scale not above 0.
    """
    from safetensors.numpy import save_file

    try:
        sae.check_values()
    except SaevError as error:
        raise SaevError(f"{path}: {error}") from None
    origin = {} if sae.origin is None else {"origin": sae.origin.as_dict()}
    config = {
        "schema": SCHEMA,
        "architecture": type(sae.architecture).__name__,
        "options": asdict(sae.architecture),
        "d": sae.d,
        **origin,
        **facts,
    }
    arrays = {key: value.detach().cpu().numpy() for key, value in sae.state_dict().items()}
    arrays["W_enc"] = np.ascontiguousarray(arrays.pop("W_enc_sd").T)  # (d, s), as in the formulas
    with new_directory(path, FILES) as folder:
        write_by(lambda file: save_file(arrays, file), folder / WEIGHTS)
        write_json(folder / CONFIG, {**config, "sha256": digest(config, arrays)})


def load_sae(path: str | Path) -> SAE:
    """Read a checkpoint folder, or `hf://owner/name` from the hub, in evaluation mode.

    Raises:
        SaevError: it is missing, damaged, of another schema, or of an architecture that is not imported.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = locate(path)
    config = load_config(folder)
    try:
        architecture = architectures()[config["architecture"]](**config["options"])
        sae = SAE(architecture, torch.zeros(config["d"]), 1.0)
        sae.origin = _origin(config)
    except (KeyError, TypeError, RuntimeError) as error:  # an option of a newer version, for one
        raise SaevError(f"{folder / CONFIG}: not understood by this version: {first_line(error)}") from None
    except SaevError as error:
        raise SaevError(f"{folder / CONFIG}: {error}") from None
    try:
        arrays = load_file(folder / WEIGHTS)
        _check_digest(config, arrays)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        tensors["W_enc_sd"] = tensors.pop("W_enc").t()
        sae.load_state_dict(tensors)
        sae.check_values()
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, SaevError) as error:
        raise SaevError(
            f"{folder / WEIGHTS}: does not hold the SAE of its {CONFIG} ({first_line(error)})"
        ) from None
    return sae.eval().requires_grad_(False)


def _check_digest(config: dict, arrays: dict[str, np.ndarray]) -> None:
    said = {key: value for key, value in config.items() if key != "sha256"}
    if config["schema"] > 1 and config.get("sha256") != digest(said, arrays):
        raise SaevError("one of the two was changed since they were written")


def push_sae(path: str | Path, repo: str, *, private: bool = False) -> str:
    """Upload the checkpoint folder `path`, its metrics as a card, to the repository `repo`, made if need be.

    Returns:
        The address for `load_sae`, with the revision that was made.

    Raises:
        SaevError: no checkpoint there, or the hub refuses.
    """
    load_sae(path)  # nothing damaged is uploaded
    config = load_config(path)
    with tempfile.TemporaryDirectory() as folder:
        for file in (CONFIG, WEIGHTS):
            Path(folder, file).symlink_to(Path(path, file).resolve())
        Path(folder, "README.md").write_text(_card(config, repo))
        return upload(folder, repo, f"Upload a {config['architecture']} SAE", private=private)


def locate(source: str | Path) -> Path:
    """The folder of a checkpoint, downloaded if need be."""
    return local(source, [CONFIG, WEIGHTS])


def load_config(path: str | Path) -> dict:
    """The checkpoint's `config.json`. Raises SaevError if there is none, or one of another schema."""
    file = locate(path) / CONFIG
    if not file.is_file():
        inside = file.parent / "sae"
        where = f"did you mean {inside}?" if (inside / CONFIG).is_file() else "train one with the train stage"
        raise SaevError(f"{path}: no SAE checkpoint there (no {CONFIG}); {where}")
    try:
        config = json.loads(file.read_text())
    except ValueError as error:
        raise SaevError(f"{file}: damaged: {error}") from None
    if not isinstance(config, dict):
        raise SaevError(f"{file}: not the config of an SAE")
    if config.get("schema") not in range(1, SCHEMA + 1) or config.get("architecture") not in architectures():
        raise SaevError(
            f"{file}: schema {config.get('schema')!r}, architecture {config.get('architecture')!r}; "
            f"this version reads schemas 1 to {SCHEMA}, and {', '.join(architectures())}"
        )
    return config


def architectures() -> dict[str, type[Architecture]]:
    """By name, the architectures that are imported: those of saev.sae, and the caller's own.

    Not a list here, which every new architecture would have to enter; and a checkpoint is not tied to the
    modules of architectures that are not its own.
    """
    kinds = Architecture.__subclasses__()
    for kind in kinds:  # which grows on the way
        kinds += kind.__subclasses__()
    return {kind.__name__: kind for kind in kinds if not kind.__name__.startswith("_")}


def _origin(config: dict) -> "Origin | None":
    if "origin" not in config:
        return None
    # Late, because stores come with it (zarr), and an SAE by itself needs none.
    from saev.activations.origin import Origin

    return Origin.of(config["origin"])


def _card(config: dict, repo: str) -> str:
    measured, origin = config.get("metrics", {}), config.get("origin", config)
    numbers = measured.get("val", measured)  # the train stage keeps validation and training apart
    rows = [f"| {name} | {value:.4g} |" for name, value in numbers.items() if isinstance(value, (int, float))]
    return CARD.format(
        repo=repo,
        architecture=config["architecture"],
        layer=origin.get("layer", "?"),
        backbone=origin.get("backbone", "?"),
        d=config["d"],
        d_sae=config["options"]["d_sae"],
        metrics="\n".join(["| metric | |", "| --- | --- |", *rows]) if rows else "",
    )
