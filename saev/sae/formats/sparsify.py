"""sparsify's folder: `cfg.json` and `sae.safetensors`."""

from pathlib import Path

from saev.errors import SaevError
from saev.sae.architectures import TopK
from saev.sae.formats.assembly import assemble
from saev.sae.formats.reading import folder_with, integer, of, read_json, read_safetensors, renamed, same
from saev.sae.model import SAE

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"


def load_sparsify(source: str | Path) -> SAE:
    """Read an SAE of sparsify: f = top_k(ReLU((x - b_dec) W_enc + b_enc)), x_hat = f W_dec + b_dec.

    Args:
        source: the folder of one hookpoint, or `hf://owner/name` where the repository holds only one.

    Raises:
        SaevError: no such folder, damaged, or a groupmax, a transcoder, or one with a skip connection.
    """
    folder = folder_with(source, [CONFIG, WEIGHTS], "sparsify")
    config, found = read_json(folder / CONFIG), read_safetensors(folder / WEIGHTS)
    for option, read in (("activation", "topk"), ("transcode", False), ("skip_connection", False)):
        if config.get(option, read) != read:
            raise SaevError(f"{folder / CONFIG}: {option} is {config[option]!r}, only {read!r} is read")
    names = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}
    with of(folder / WEIGHTS):
        tensors = renamed(found, names)
    d, s = tensors["W_enc"].shape
    with of(folder / CONFIG):
        same(config, "d_in", d)
        if config.get("num_latents"):  # 0: by the expansion factor
            same(config, "num_latents", s)
        architecture = TopK(d_sae=s, k=integer(config, "k"))
    with of(folder / WEIGHTS):
        return assemble(architecture, tensors, subtracts_b_dec=True)
