"""SAEs of others in the place of one to be trained: read in their format, on inputs as they were given."""

import json

import numpy as np
import pytest
import torch

from saev.errors import SaevError
from saev.sae import Pretrained, TopK, load_sae, save_sae
from saev.sae.model import SAE
from tests.sae.foreign import saved


def public(folder, d: int, s: int = 40):
    """A ReLU checkpoint as arXiv 2502.06755 published them: a line of JSON, then a state dict."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (d, s), "b_enc": (s,), "W_dec": (s, d), "b_dec": (d,)}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    folder.mkdir(parents=True)
    header = {"d_vit": d, "exp_factor": s // d, "sparsity_coeff": 4e-4}
    (folder / "sae.pt").write_bytes(json.dumps(header).encode() + b"\n" + saved(tensors))
    return {name: value.double() for name, value in tensors.items()}


@pytest.mark.parametrize("inputs", ["norm", "variance", "raw"])
def test_the_codes_of_a_public_one_by_its_formula(inputs, stores, tmp_path):
    tokens = stores["train"].tokens(1)
    w = public(tmp_path / "there", tokens.d)
    options = Pretrained(source=str(tmp_path / "there"), format="osunlp", inputs=inputs)
    sae = options.load(tokens, "tiny")
    x = np.concatenate([chunk.x_btd.reshape(-1, tokens.d) for chunk in tokens.chunks()]).astype(np.float64)
    mean = x.mean(0)
    centred = x - mean
    scale = {
        "raw": 1.0,
        "norm": np.linalg.norm(centred, axis=1).mean() / tokens.d**0.5,
        "variance": centred.var(0).mean() ** 0.5,
    }[inputs]
    z = torch.from_numpy(x if inputs == "raw" else centred / scale)
    f = ((z - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    torch.testing.assert_close(sae.encode(torch.from_numpy(x).float()).double(), f, rtol=1e-4, atol=1e-3)
    assert sae.origin == tokens.origin


def test_one_of_ours_keeps_its_origin_and_is_refused_elsewhere(stores, tmp_path):
    mine, other = stores["train"].tokens(1), stores["train"].tokens(2)
    mean, scale = mine.normalisation()
    sae = SAE(TopK(d_sae=30, k=4), torch.from_numpy(mean), scale)
    sae.origin = mine.origin._replace(data="of other images")
    save_sae(sae, tmp_path / "sae")
    options = Pretrained(source={"tiny": str(tmp_path / "sae")}, format="saev")
    assert options.load(mine, "tiny").digest() == load_sae(tmp_path / "sae").digest()
    assert options.load(mine, "tiny").origin.data == "of other images"
    with pytest.raises(SaevError, match=r"sae: layer 1, but .* has layer 2; the two do not belong together"):
        options.load(other, "tiny")
    with pytest.raises(SaevError, match=r"^sae\.source names none for vast, but for tiny$"):
        options.load(mine, "vast")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "pickle"}, r"sae\.format must be one of saev, osunlp, .*, got 'pickle'"),
        (
            {"format": "saev", "inputs": "norm"},
            r"sae\.inputs must be raw where sae\.format is saev, .*, got 'norm'",
        ),
        ({"format": "sparsify", "threshold": 0.5}, r"sae\.threshold is for the formats osunlp, .*, got 0\.5"),
        ({"source": 3}, r"sae\.source must be .*, got 3"),
        ({"source": {"tiny": ""}}, r"sae\.source\.tiny must be a path or an address, got ''"),
    ],
)
def test_wrong_options_are_one_line(changes, message):
    with pytest.raises(SaevError, match=f"^{message}"):
        Pretrained(**{"source": "there", "format": "osunlp", **changes})


def test_another_width_is_refused(stores, tmp_path):
    public(tmp_path / "wide", 32)
    options = Pretrained(source=str(tmp_path / "wide"), format="osunlp", inputs="raw")
    with pytest.raises(SaevError, match=r"have width 24, .*wide was trained on width 32"):
        options.load(stores["train"].tokens(1), "tiny")
