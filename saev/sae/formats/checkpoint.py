"""A trained SAE on disk or on the hub: a folder with `sae.safetensors` and `config.json`."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from saev.errors import SaevError
from saev.files import new_directory, write_json
from saev.sae.architectures import BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.baselines import PCA, KMeans, Neurons, RandomDirections, SemiNMF
from saev.sae.formats.hub import SCHEME, fetch
from saev.sae.model import SAE

SCHEMA = 1
ARCHITECTURES = {
    kind.__name__: kind
    for kind in (TopK, BatchTopK, ReLU, JumpReLU, Gated, RandomDirections, Neurons, PCA, KMeans, SemiNMF)
}


def save_sae(sae: SAE, path: str | Path, **facts: object) -> None:
    """Write `sae` to the folder `path`, with `facts` (backbone, layer, data, metrics, ...) in its config."""
    from safetensors.torch import save_file

    config = {
        "schema": SCHEMA,
        "architecture": type(sae.architecture).__name__,
        "options": asdict(sae.architecture),
        "d": sae.d,
        "precision": sae.precision,
        **facts,
    }
    with new_directory(path) as folder:
        tensors = {key: value.detach().cpu() for key, value in sae.state_dict().items()}
        tensors["W_enc"] = tensors.pop("W_enc_sd").t().contiguous()  # (d, s), as in the formulas
        save_file(tensors, folder / "sae.safetensors")
        write_json(folder / "config.json", config)


def locate(source: str | Path) -> Path:
    """The folder of a checkpoint, downloaded if need be."""
    return fetch(str(source)) if str(source).startswith(SCHEME) else Path(source)


def load_config(path: str | Path) -> dict:
    """The checkpoint's `config.json`. Raises SaevError if there is none, or one of another schema."""
    file = locate(path) / "config.json"
    if not file.is_file():
        raise SaevError(f"{path}: no SAE checkpoint there (no config.json); train one with the train stage")
    try:
        config = json.loads(file.read_text())
    except ValueError as error:
        raise SaevError(f"{file}: damaged: {error}") from None
    if not isinstance(config, dict):
        raise SaevError(f"{file}: not the config of an SAE")
    if config.get("schema") != SCHEMA or config.get("architecture") not in ARCHITECTURES:
        raise SaevError(
            f"{file}: schema {config.get('schema')!r}, architecture {config.get('architecture')!r}; "
            f"this version reads schema {SCHEMA} and {', '.join(ARCHITECTURES)}"
        )
    return config


def load_layer(path: str | Path) -> int:
    """The layer that a checkpoint was trained on. Raises SaevError if its config does not say."""
    config = load_config(path)
    if not isinstance(config.get("layer"), int):
        raise SaevError(
            f"{path}/config.json: does not say on which layer it was trained; give save_sae its layer="
        )
    return config["layer"]


def load_sae(path: str | Path) -> SAE:
    """Read a checkpoint folder, or `hf://owner/name` from the hub. Raises SaevError if it is missing, damaged or of another schema."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = locate(path)
    config = load_config(path)
    try:
        architecture = ARCHITECTURES[config["architecture"]](**config["options"])
        sae = SAE(architecture, torch.zeros(config["d"]), 1.0, precision=config["precision"])
    except (KeyError, TypeError) as error:  # an option of a newer version, for one
        raise SaevError(f"{path}/config.json: not understood by this version: {error}") from None
    try:
        tensors = load_file(path / "sae.safetensors")
        tensors["W_enc_sd"] = tensors.pop("W_enc").t()
        sae.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise SaevError(
            f"{path}/sae.safetensors: does not hold the SAE of its config.json ({str(error).splitlines()[0]})"
        ) from None
    return sae.eval().requires_grad_(False)
