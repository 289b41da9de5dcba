"""Two gloo processes train what one trains with the same global batch."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.pipeline.study import LAYER, STAGES, TINY, succeed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def acts(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("distributed")
    succeed(cwd, "extract", *STAGES["extract"])
    return cwd


@pytest.mark.parametrize(
    ("options", "parallel"),
    [
        (["sae=batchtopk", "sae.k=6", "+sae.dead_after=2000", "sae.aux_k=16"], "batch"),
        (["sae=jumprelu", "sae.theta=0.05"], "batch"),
        (
            ["sae=batchtopk", "sae.k=6", "+sae.dead_after=2000", "sae.aux_k=16", "sae.prefixes=[32]"],
            "latents",
        ),
        (["sae=relu", "sae.l1=4", "+sae.unit_norm=false"], "latents"),
    ],
)
def test_two_processes_equal_one(acts, options, parallel):
    common = [
        *TINY,
        *LAYER,
        *options,
        "sae.d_sae=192",
        "trainer.steps=40",
        "trainer.batch_size=256",
        "trainer.precision=fp32",
        "machine.accelerator=cpu",
    ]
    results = []
    for devices in (1, 2):
        name = f"sae.name=with{devices}"
        succeed(acts, "train", *common, name, f"machine.devices={devices}", f"machine.parallel={parallel}")
        folder = acts / f"data/sae/mosaic-timm-L4-with{devices}"
        curve = json.loads((acts / f"results/train/mosaic-timm-L4-with{devices}/curve.json").read_text())
        revives = "sae.aux_k=16" in options
        assert any(point["dead"] > 0 for point in curve) == revives  # there is something for AuxK to do
        results.append({"sae": load_file(folder / "sae.safetensors")} | {"steps": len(curve)})
    one, two = results
    assert one.pop("steps") == two.pop("steps") and one.keys() == two.keys()
    for member, tensors in one.items():
        for key, tensor in tensors.items():
            np.testing.assert_allclose(
                two[member][key], tensor, rtol=2e-3, atol=2e-4, err_msg=f"{member}: {key}"
            )
    assert not list(acts.glob(".scratch/train/*/*"))
