"""What a configuration may name, and what else it may not."""

import inspect
from pathlib import Path

import pytest
import yaml

from pipeline.cell import check_sae
from pipeline.keys import NAMED
from pipeline.parts import PACKAGES, build, check_part
from saev.errors import SaevError

CONF = Path(__file__).parents[2] / "conf"
NEEDED = {
    "data": {"split": "train", "n": 2},
    "backbone": {"model": "test_vit"},
    "sae": {"d_sae": 8},
    "task": {},
}


FILES = [file for group in PACKAGES for file in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_part_of_the_configuration_is_one(file):
    options = yaml.safe_load(file.read_text())
    splits = options.pop("splits", {"": {}})
    assert ("name" in options) == (file.parent.name in NAMED)
    options.pop("name", None)
    for split in splits.values():
        check_part(file.parent.name, options | split, "here")


@pytest.mark.parametrize("group", PACKAGES)
@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "pandas.read_pickle",
        "saev.files.publish",
        "saev.data.sample.np.load",  # names that modules only import
        "saev.data.folder.Path",
        "saev.data.folder.Path.unlink",
        "saev.data.folder.fingerprint",
        "saev.data.mosaic.Image.open",
        "saev.backbones.weights.torch.load",
        "saev.backbones.weights.read_weights",  # ours, but no part
        "saev.backbones.from_timm.load_into",
        "saev.backbones.from_timm.sys.exit",
        "saev.sae.load_sae",
        "saev.sae.push_sae",
        "saev.sae.SAE",
        "saev.sae.architectures._K",  # parts of parts
        "saev.data.__loader__",
        "saev.data.decode.__builtins__.eval",
        "saev.data.Mosaic.__init__",
        "saev.data.Sample",
        "saev.data",
        "saev.data.",
        "saev.data..Mosaic",
        "saev.data.nope.Mosaic",
        "saev.sae.nope",
        "saev.tasks.Task",
        "saev.tasks.Asking",
        "saev.tasks.train_task",
        "",
        None,
        3,
        ["saev.sae.TopK"],
        {"_target_": "saev.sae.TopK"},
    ],
)
def test_nothing_else_can_be_named(group, target):
    with pytest.raises(SaevError, match=rf"^{group}\._target_ must be .* in {PACKAGES[group]}, got "):
        build(group, {"_target_": target, **NEEDED[group]}, group)


@pytest.mark.parametrize("group", PACKAGES)
def test_a_part_of_another_group_is_none(group):
    others = {"data": "saev.data.Mosaic", "backbone": "saev.backbones.timm_vit", "sae": "saev.sae.TopK"}
    others["task"] = "saev.tasks.TaskOptions"
    for other in others.keys() - {group}:
        with pytest.raises(SaevError, match=rf"^{group}\._target_ must be"):
            check_part(group, {"_target_": others[other], **NEEDED[other]}, group)


def test_code_within_an_option_is_a_wrong_value():
    nested = {"_target_": "pandas.read_pickle", "filepath_or_buffer": "w.pkl"}
    for group, target, key in (
        ("sae", "saev.sae.TopK", "k"),
        ("data", "saev.data.Mosaic", "n"),
        ("backbone", "saev.backbones.timm_vit", "checkpoint"),
    ):
        options = {"_target_": target, **NEEDED[group], key: nested}
        with pytest.raises(SaevError, match=rf"^{group}\.{key} must be .*, got "):
            build(group, options, group)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kk": 3}, r"sae\.kk is no option; there are d_sae, prefixes, .*, k, k_start, k_anneal"),
        ({"l1": 3}, r"sae\.l1 is no option"),
        ({"d_sae": 2**70}, rf"sae\.d_sae must be an integer in \[1, 1000000000\], got {2**70}"),
        (
            {"tokens": ["patches"]},
            r"sae\.tokens must be one of cls, .*, meanpool, got 'patches'",
        ),
        ({"tokens": "patch"}, r"sae\.tokens must be a list, each one of .*, got 'patch'"),
    ],
)
def test_wrong_options_are_named_in_full(options, message):
    with pytest.raises(SaevError, match=f"^{message}"):
        check_sae({"_target_": "saev.sae.TopK", "name": "topk", "d_sae": 64} | options)


def test_an_option_may_be_left_out_only_if_it_has_a_default():
    with pytest.raises(SaevError, match=r"^data\.splits\.val\.n is missing$"):
        check_part("data", {"_target_": "saev.data.Mosaic", "split": "val"}, "data.splits.val")
    assert inspect.isclass(check_part("data", {"_target_": "saev.data.Mosaic", **NEEDED["data"]}, "data"))
