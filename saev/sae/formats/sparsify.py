"""sparsify's folder: `cfg.json` and `sae.safetensors` (eai-sparsify, formerly `sae`)."""

from pathlib import Path

from saev.errors import SaevError
from saev.sae.architectures import TopK
from saev.sae.formats.assembly import assemble
from saev.sae.formats.hub import local
from saev.sae.formats.reading import check_said, need, read_config, read_tensors, rename, within
from saev.sae.model import SAE

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"


def load_sparsify(source: str | Path) -> SAE:
    """Read a sparse coder that reconstructs its input, E = encoder.weight (s, d):

        f = top_k(ReLU((x - b_dec) E^T + b))        x_hat = f W_dec + b_dec

    Args:
        source: the folder of a hookpoint, or an address such as `hf://owner/name/layers.10`.

    Raises:
        SaevError: no such folder or repository, damaged, or of another formula: groupmax, signed codes, a
            transcoder, a skip connection, or saved without its decoder.
    """
    folder = local(source, [CONFIG, WEIGHTS])
    file, weights = need(folder, CONFIG), need(folder, WEIGHTS)
    config, tensors = read_config(file), read_tensors(weights)
    with within(file):
        for option, right in (
            ("activation", "topk"),
            ("signed", False),
            ("transcode", False),
            ("skip_connection", False),
        ):
            if config.get(option, right) != right:
                raise SaevError(f"{option} is {config[option]!r}, only {right!r} is read")
        if "k" not in config:
            raise SaevError("no k there")
    with within(weights):
        names = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}
        tensors = rename(tensors, names)
    d, s = tensors["b_dec"].numel(), tensors["b_enc"].numel()
    with within(file):
        # num_latents 0 stands for a multiple of the width.
        check_said(config, d_in=d, **({"num_latents": s} if config.get("num_latents") else {}))
        architecture = TopK(d_sae=s, k=config["k"])
    with within(weights):
        return assemble(architecture, tensors, subtracts_b_dec=True)
