"""dictionary_learning's folder: `ae.pt`, a state dict, and `config.json`, whose trainer names the class."""

from pathlib import Path

from saev.errors import SaevError
from saev.sae.architectures import BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats.assembly import assemble
from saev.sae.formats.reading import folder_with, integer, measured, of, read_json, read_torch, renamed
from saev.sae.model import SAE

CONFIG, WEIGHTS = "config.json", "ae.pt"
LINEAR = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "decoder.weight.T"}
OURS = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
NAMES = {
    "AutoEncoder": LINEAR | {"b_dec": "bias"},
    "AutoEncoderNew": LINEAR | {"b_dec": "decoder.bias"},
    "GatedAutoEncoder": LINEAR | {"b_enc": "gate_bias", "b_dec": "decoder_bias"},
    "JumpReluAutoEncoder": OURS,
    "AutoEncoderTopK": LINEAR | {"b_dec": "b_dec"},
    "BatchTopKSAE": LINEAR | {"b_dec": "b_dec"},
    "MatryoshkaBatchTopKSAE": OURS,
}
"""Of every class their names of our tensors."""


def load_dictionary_learning(source: str | Path, *, threshold: float | None = None) -> SAE:
    """Read a folder of dictionary_learning, its weights as they are (its own loader makes rows of length 1).

        f = select((x - b) W_enc + b_enc)        x_hat = f W_dec + b

    AutoEncoderNew and JumpReluAutoEncoder do not subtract b in the encoder.

    Args:
        source: the folder, or `hf://owner/name`.
        threshold: for a BatchTopK that has none, having been trained too briefly.

    Raises:
        SaevError: no such folder, damaged, of another class, or a BatchTopK without a threshold.
    """
    folder = folder_with(source, [CONFIG, WEIGHTS], "dictionary_learning")
    config, found = read_json(folder / CONFIG), read_torch(folder / WEIGHTS)
    trainer = config.get("trainer")
    kind = trainer.get("dict_class") if isinstance(trainer, dict) else None
    if kind not in NAMES:
        raise SaevError(
            f"{folder / CONFIG}: trainer.dict_class is {kind!r}, only {', '.join(NAMES)} are read"
        )
    with of(folder / WEIGHTS):
        tensors, extra = renamed(found, NAMES[kind]), {}
        d_sae = tensors["W_enc"].shape[-1]
        if kind == "GatedAutoEncoder":
            architecture, extra = Gated(d_sae=d_sae), renamed(found, {"r_mag": "r_mag", "b_mag": "mag_bias"})
        elif kind == "JumpReluAutoEncoder":
            architecture, extra = JumpReLU(d_sae=d_sae), renamed(found, {"theta": "threshold"})
        elif kind in ("AutoEncoder", "AutoEncoderNew"):
            architecture = ReLU(d_sae=d_sae)
        else:
            k = integer({"k": renamed(found, {"k": "k"})["k"].item()}, "k")
            architecture = (TopK if kind == "AutoEncoderTopK" else BatchTopK)(d_sae=d_sae, k=k)
            if kind != "AutoEncoderTopK":
                had = found.get("threshold") if threshold is None else threshold
                extra = {"threshold": measured(had, "threshold")}
        subtracts = kind not in ("AutoEncoderNew", "JumpReluAutoEncoder")
        return assemble(architecture, tensors, subtracts_b_dec=subtracts, extra=extra)
