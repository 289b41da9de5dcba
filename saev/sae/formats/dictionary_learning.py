"""dictionary_learning's folder: `config.json`, and `ae.pt`, a torch state dict.

With its encoder W (d, s) and decoder D (s, d), by the `dict_class` in the config:

    AutoEncoder             f = ReLU((x - b) W + b_enc) ||D_s||         x_hat = f (D / ||D_s||) + b
    AutoEncoderNew          f = ReLU(x W + b_enc)                       x_hat = f D + b
    JumpReluAutoEncoder     pre = x W + b_enc, f = ReLU(pre) H(pre - threshold)
    GatedAutoEncoder        u = (x - b) W, f = H(u + gate_bias) ReLU(e^r_mag u + mag_bias)
    AutoEncoderTopK         f = top_k(ReLU((x - b) W + b_enc))
    BatchTopKSAE, MatryoshkaBatchTopKSAE
                            pre = (x - b) W + b_enc, f = ReLU(pre) H(pre - threshold)

The norms in the first are what its own `load_dictionary` does. Where the training normalised activations, it
has put that into the file's biases.
"""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from saev.errors import SaevError
from saev.sae.architectures import BatchTopK, Gated, JumpReLU, ReLU, TopK
from saev.sae.formats.assembly import assemble, batch_threshold, no_threshold, unit_rows
from saev.sae.formats.hub import local
from saev.sae.formats.reading import check_said, need, read_config, read_tensors, rename, within
from saev.sae.model import SAE, Architecture

CONFIG, WEIGHTS = "config.json", "ae.pt"


class _Layout(NamedTuple):
    architecture: type[Architecture]
    names: dict[str, str]
    subtracts_b_dec: bool = True


_PLAIN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
_MATRICES = {"W_enc": "encoder.weight.T", "W_dec": "decoder.weight.T"}
_LINEAR = _MATRICES | {"b_enc": "encoder.bias", "b_dec": "b_dec"}
_GATED = {"b_enc": "gate_bias", "b_dec": "decoder_bias", "r_mag": "r_mag", "b_mag": "mag_bias"}
_LAYOUTS = {
    "AutoEncoder": _Layout(ReLU, _LINEAR | {"b_dec": "bias"}),
    "AutoEncoderNew": _Layout(ReLU, _LINEAR | {"b_dec": "decoder.bias"}, subtracts_b_dec=False),
    "JumpReluAutoEncoder": _Layout(JumpReLU, _PLAIN | {"theta": "threshold"}, subtracts_b_dec=False),
    "GatedAutoEncoder": _Layout(Gated, _MATRICES | _GATED),
    "AutoEncoderTopK": _Layout(TopK, _LINEAR),
    "BatchTopKSAE": _Layout(BatchTopK, _LINEAR | {"threshold": "threshold"}),
    "MatryoshkaBatchTopKSAE": _Layout(BatchTopK, _PLAIN | {"threshold": "threshold"}),
}


def load_dictionary_learning(source: str | Path, *, threshold: float | None = None) -> SAE:
    """Read a trainer's folder; the formulas are above.

    Args:
        source: the folder, or an address `hf://owner/name/folder`.
        threshold: of a BatchTopK, instead of its own, which is -1 where it was saved before it was measured.

    Raises:
        SaevError: no such folder or repository, damaged, of another class, or without its k or threshold.
    """
    folder = local(source, [CONFIG, WEIGHTS])
    file, weights = need(folder, CONFIG), need(folder, WEIGHTS)
    said, tensors = read_config(file).get("trainer"), read_tensors(weights)
    config = said if isinstance(said, dict) else {}
    kind = config.get("dict_class")
    with within(file):
        if kind not in [*_LAYOUTS]:
            raise SaevError(f"trainer.dict_class is {kind!r}; read are {', '.join(_LAYOUTS)}")
    layout = _LAYOUTS[kind]
    with within(weights):
        options = _options(layout, tensors, config)
        if layout.architecture is BatchTopK:
            tensors["threshold"] = batch_threshold(tensors.get("threshold"), threshold)
        else:
            no_threshold(threshold, kind)
        tensors = rename(tensors, layout.names)
        d, s = tensors["b_dec"].numel(), tensors["b_enc"].numel()
        check_said(config, activation_dim=d, dict_size=s)
        architecture = layout.architecture(d_sae=s, **options)
        sae = assemble(architecture, tensors, subtracts_b_dec=layout.subtracts_b_dec)
        return unit_rows(sae) if kind == "AutoEncoder" else sae


def _options(layout: _Layout, tensors: dict[str, Tensor], config: dict) -> dict:
    """k and Matryoshka prefixes. Their tensors are taken out, and a TopK's threshold, which it never uses."""
    if layout.architecture not in (TopK, BatchTopK):
        return {}
    if layout.architecture is TopK:
        tensors.pop("threshold", None)
    kept = tensors.pop("k", None)
    k = config.get("k") if kept is None else kept.tolist()
    if k is None:
        raise SaevError(f"no k, neither here nor in {CONFIG}")
    check_said(config, k=k)
    sizes = tensors.pop("group_sizes", None)
    return {"k": k} if sizes is None else {"k": k, "prefixes": tuple(sizes.flatten().cumsum(0)[:-1].tolist())}
