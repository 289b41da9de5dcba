"""A plan against what is there: operations that torch counts, files as they are written, sums by hand."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from saev.errors import SaevError
from saev.features import encode_tokens
from saev.planning import (
    Rates,
    Shape,
    Work,
    code_bytes,
    encoding,
    passing,
    recording,
    sae_bytes,
    store_bytes,
    training,
)
from saev.planning.work import Dictionary
from saev.sae import SAE, TopK, save_sae

VIT_S = Shape(tokens=257, patches=256, d=384, blocks=12)
RATES = Rates(name="a machine", vit=1e12, product=2e12, memory=1e10, images=500, disk=1e9, start=6)


def size(folder, pattern: str = "*") -> int:
    return sum(file.stat().st_size for file in folder.rglob(pattern) if file.is_file())


def test_a_block_by_torchs_own_count():
    from timm.models.vision_transformer import Block

    block = Block(VIT_S.d, num_heads=6, qkv_bias=True).eval()
    block.attn.fused_attn = False  # of which torch counts nothing on a CPU
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        block(torch.randn(1, VIT_S.tokens, VIT_S.d))
    assert VIT_S.block == counter.get_total_flops()


def test_the_shape_of_a_backbone(registers):
    assert Shape.of(registers) == Shape(tokens=29, patches=24, d=24, blocks=2)


def test_bytes_of_a_store(stores, registers):
    store = stores["train"]
    shape = Shape(17, 16, store.d, 3)
    planned = store_bytes(shape, store.n_images, len(store.layers))
    held = sum(store.group[f"{of}/{layer}"].nbytes for of in ("acts", "norms") for layer in store.layers)
    held += store.group["labels/patch"].nbytes + store.group["labels/image"].nbytes
    assert planned == held
    assert held < size(store.path) < 1.5 * held  # checksums and metadata, which do not grow with d


def test_bytes_of_an_sae_and_of_its_codes(stores, tmp_path):
    tokens = stores["train"].tokens(1)
    mean, scale = tokens.normalisation()
    sae = SAE(TopK(d_sae=2000, k=8), torch.from_numpy(mean), scale).eval()
    sae.origin = tokens.origin
    save_sae(sae, tmp_path / "sae")
    assert sae_bytes(tokens.d, 2000) == pytest.approx(size(tmp_path / "sae", "sae.safetensors"), rel=0.01)
    encode_tokens(sae, tokens, tmp_path / "codes.safetensors", what="sae")
    planned = code_bytes(tokens.n_vectors, 8, 2000)
    assert planned == pytest.approx((tmp_path / "codes.safetensors").stat().st_size, rel=0.05)


def test_seconds_by_hand():
    work = Work(vit=2e12, product=2e12, memory=5e9, images=1000, disk=3e9, starts=2)
    assert work.seconds(RATES) == 2 + 1 + 0.5 + 2 + 3 + 12
    assert (work + work).seconds(RATES) == (work * 2).seconds(RATES) == 2 * work.seconds(RATES)
    assert not Work() and Work(starts=1)


def test_work_of_stages_by_hand():
    assert recording(VIT_S, 10, [4, -2]).vit == 10 * 11 * VIT_S.block  # blocks 0 to 10
    assert recording(VIT_S, 10, [4]).images == 10
    assert passing(VIT_S, 3, -2).vit == 3 * VIT_S.block and passing(VIT_S, 3, -1).vit == 0
    of = Dictionary(384, 2048, 32)
    assert encoding(of, 100).product == 100 * 2 * 384 * 2048
    one, two = training(of, 2048, 1), training(of, 2048, 2)
    assert two == one * 2 and one.product == 2048 * 2 * 384 * 2048
    # Six passes over rows of float32, Adam's seven over the parameters, and the scores twice.
    assert one.memory == 2048 * 32 * 384 * 4 * 6 + 2 * 384 * 2048 * 4 * 7 + 2 * 2048 * 2048 * 4


def test_a_dense_step_is_planned_as_one():
    few, many = (training(Dictionary(384, 2048, active, competitive=False), 2048, 1) for active in (8, 900))
    assert few.product * 5 == many.product and many.memory < few.memory


def test_rates_of_another_machine(tmp_path):
    file = tmp_path / "there.yaml"
    told = {"name": "there", "vit": 1e12, "product": 1e12, "memory": 1e10, "images": 100, "disk": 1e9}
    file.write_text(
        "\n".join(f"{key}: {value}" for key, value in {**told, "start": 5}.items()).replace("e+", ".0e+")
    )
    assert Rates.read(file) == Rates(**told, start=5)
    for text, message in {
        "name: x": r"there\.yaml: rates\.vit is missing",
        "[1": "no rates of a machine there",
        "3": r"there\.yaml: rates must be a section",
    }.items():
        file.write_text(text)
        with pytest.raises(SaevError, match=message):
            Rates.read(file)
    with pytest.raises(SaevError, match=r"rates\.start must be .*, got 0"):
        Rates(**told, start=0)


def test_the_rates_of_this_machine():
    from saev.machine import Machine
    from saev.planning import measure

    rates = measure(Shape(17, 16, 64, 2), Machine(accelerator="cpu"))
    assert 1e8 < rates.vit < 1e14 and 1e8 < rates.product < 1e14 and 1e6 < rates.memory < 1e13
    assert rates.images > 1 and rates.disk > 1e5 and 0.1 < rates.start < 600
