"""timm's models by name: weights, preprocessing, input sizes, refusals."""

import hashlib
import pickle

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from saev.backbones import timm_vit
from saev.backbones.from_timm import load_into, timm_preprocess, wrap
from saev.errors import SaevError

TINY = {"model": "test_vit", "img_size": 64}


def random_vit():
    return timm_vit(pretrained=False, **TINY)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_local_weights_are_those_of_the_file(tmp_path, file):
    from safetensors.torch import save_file

    state = {key: value + 1 for key, value in random_vit().model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    loaded = timm_vit(checkpoint=str(tmp_path / file), **TINY)
    assert all(torch.equal(value, state[key]) for key, value in loaded.model.state_dict().items())
    assert loaded.weights_hash() != random_vit().weights_hash()


def test_weights_hash_is_sha256_over_names_and_bytes():
    """Scalars too, which BatchNorm counts its batches in."""
    backbone = random_vit()
    backbone.model.register_buffer("count", torch.tensor(3))
    digest = hashlib.sha256()
    for key, value in sorted(backbone.model.state_dict().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    assert backbone.weights_hash() == digest.hexdigest()[:16]


def test_position_embeddings_are_resampled_to_the_input(tmp_path):
    """Weights of a 64 px model in a 96 x 64 px one: timm's own resampling, checked against torch's."""
    from safetensors.torch import save_file

    source, weights = random_vit().model, tmp_path / "w.safetensors"
    save_file(source.state_dict(), weights)
    wide = timm_vit(model="test_vit", checkpoint=str(weights), img_size=[96, 64]).model
    patches = source.pos_embed[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(patches, (6, 4), mode="bicubic", antialias=True).flatten(2).mT
    torch.testing.assert_close(wide.pos_embed[:, 1:], expected)
    torch.testing.assert_close(wide.pos_embed[:, 0], source.pos_embed[:, 0])


def test_random_weights_are_the_same_each_time():
    """Also from another state of the generator, and without touching it."""
    first = random_vit().weights_hash()
    state = torch.manual_seed(99).get_state()
    assert random_vit().weights_hash() == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("vit_base_patch14_dinov2.lvd142m", "518x518 px bicubic, crop 1,"),
        ("vit_base_patch16_224.mae", "224x224 px bicubic, crop 0.9,"),
        ("deit_tiny_patch16_224.fb_in1k", "224x224 px bicubic, crop 0.9,"),
        ("eva02_tiny_patch14_336.mim_in22k_ft_in1k", "336x336 px bicubic, crop 1,"),
        ("eva02_base_patch14_448.mim_in22k_ft_in22k", "448x448 px squashed bicubic, crop 1,"),
        ("vit_base_patch16_clip_384.openai_ft_in12k_in1k", "384x384 px squashed bicubic, crop 0.95,"),
        ("vit_base_patch16_sapiens2.fb", "1024x768 px squashed bilinear, crop 1,"),
    ],
)
def test_images_are_prepared_as_timm_does(name, told):
    import timm
    from timm.data import create_transform, resolve_model_data_config

    with torch.device("meta"):  # shapes without weights
        vit = timm.create_model(name, pretrained=False)
    preprocess = timm_preprocess(vit, name)
    assert str(preprocess).startswith(told)
    image = np.ascontiguousarray(skimage.data.astronaut()[:400, :510])
    expected = create_transform(**resolve_model_data_config(vit), is_training=False)(Image.fromarray(image))
    (seen,) = preprocess.normalise(torch.from_numpy(preprocess.crop(image))[None])
    assert (seen - expected).abs().mean() < 0.01  # of a standard deviation: Pillow's rounding


def test_a_padded_border_is_refused():
    import timm

    with torch.device("meta"):
        vit = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    vit.pretrained_cfg["crop_mode"] = "border"
    with pytest.raises(SaevError, match="some/vit: crop_mode must be center or squash, got 'border'"):
        timm_preprocess(vit, "some/vit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vit_huge_nonsense"}, "timm model 'vit_huge_nonsense' cannot be built: "),
        (
            {"model": "test_resnet"},
            "timm/test_resnet is a ResNet; of timm's models VisionTransformer and Eva will do",
        ),
        (
            {"img_size": [64, 100]},
            "an input of 64 x 100 px is not a whole number of 16 x 16 px patches; img_size=[64, 96] is",
        ),
        ({"img_size": "64"}, "img_size must be a side or [height, width] in whole pixels, or null, got '64'"),
        ({"img_size": True}, "img_size must be a side or [height, width] in whole pixels, or null, got True"),
        ({"img_size": [64]}, "img_size must be a side or [height, width] in whole pixels, or null, got [64]"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(SaevError) as error:
        timm_vit(**{"model": "test_vit", "pretrained": False, **options})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "n_tokens"), [("vit_tiny_r_s16_p8_224", 5), ("vit_base_mci_224", 17)])
def test_patches_of_a_convolutional_network_are_refused(name, n_tokens):
    """Their patch size counts its outputs, not pixels, and would make a grid of thousands of patches."""
    import timm

    hybrid = timm.create_model(name, img_size=64, depth=1)
    message = f"hybrid is no plain vision transformer: it makes {n_tokens} tokens of 64 x 64 px, not the "
    with pytest.raises(SaevError, match=message):
        wrap(hybrid, name="hybrid")


def test_siglip_so400m_at_384_takes_378():
    """Its patches of 14 px never saw the last 6 of 384: at 378 grid and position embeddings are the same."""
    import timm

    small = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    trained = timm.create_model("vit_so400m_patch14_siglip_384", **small)
    with pytest.raises(
        SaevError, match="384 x 384 px is not a whole number of 14 x 14 px patches; img_size=378 is"
    ):
        wrap(trained, name="siglip")
    vit = timm.create_model("vit_so400m_patch14_siglip_384", img_size=378, **small)
    load_into(vit, trained.state_dict(), "trained")
    assert wrap(vit, name="siglip").grid == (27, 27)
    assert torch.equal(vit.pos_embed, trained.pos_embed)


class Code:
    """What a pickle may run when it is read."""

    def __reduce__(self):
        return print, ("run",)


def test_bad_weights_are_one_line(tmp_path, capsys):
    state = random_vit().model.state_dict()
    files = {
        "none.pth": (None, "no such weights file"),
        "junk.pth": (
            b"not weights",
            "cannot be read as weights: it is damaged, or a pickle of more than tensors",
        ),
        "junk.safetensors": (b"not weights", "cannot be read as weights: it is damaged"),
        "pickle.pth": (pickle.dumps(Code()), "a pickle of more than tensors, which is never run"),
        "number.pth": ({"state_dict": 3}, "holds no state dict, which is a dict of tensors by name"),
        "nan.pth": (
            {**state, "norm.weight": state["norm.weight"] * torch.nan},
            "not finite, e.g. 'norm.weight'",
        ),
        "fewer.pth": (
            {"norm.weight": state["norm.weight"]},
            "keys missing or unexpected, e.g. 'blocks.0.attn",
        ),
        "wider.pth": ({**state, "norm.weight": torch.ones(3)}, "'norm.weight' is (3,), expected (64,)"),
    }
    for name, (content, message) in files.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(SaevError) as error:
            timm_vit(checkpoint=str(path), **TINY)
        assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
        assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""
