"""Readouts against the models themselves; tasks on disk."""

import json

import numpy as np
import pytest
import torch

from saev.activations import Origin
from saev.data import IGNORE
from saev.errors import SaevError
from saev.tasks import READOUTS, Task, load_task, save_task
from saev.tasks.task import ignored_classes
from tests.relabelled import Relabelled

SOMEWHERE = Origin("a model", "0123", "of some geometry", 1, ("cls", "patch"), "images")


def some_task(readout, d, n_classes=3, **facts):
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(n_classes, d, generator=generator), torch.randn(n_classes, generator=generator)
    names = tuple(f"class {c}" for c in range(n_classes))
    return Task((weight, bias), **{"classes": names, "readout": readout, "origin": SOMEWHERE, **facts})


def logits_of(task, readout_bud):
    return torch.einsum("bud,cd->buc", readout_bud, task.weight) + task.bias


@pytest.mark.parametrize("name", ["tiny_vit", "registers"])
def test_readouts_are_the_tokens_of_the_model(name, request):
    """Against timm's own forward pass."""
    backbone = request.getfixturevalue(name)
    images = torch.randn(2, 3, *backbone.preprocess.size)
    with torch.inference_mode():
        final_btd, expected_btd = backbone(images), backbone.model.forward_features(images)
    patches = expected_btd[:, backbone.model.num_prefix_tokens :]
    for readout, expected in (
        ("patches", patches),
        ("cls", expected_btd[:, :1]),
        ("mean", patches.mean(1, keepdim=True)),
    ):
        task = some_task(readout, 24)
        assert task.decides_patches == (readout == "patches")
        torch.testing.assert_close(
            task.logits(backbone, final_btd), logits_of(task, expected), rtol=1e-4, atol=1e-4
        )


def test_joint_is_the_models_own_output_at_unit_length(clip, clip_tower, tiny_vit):
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        joint = READOUTS["joint"](clip_tower, clip_tower(images))
        torch.testing.assert_close(joint[:, 0], clip.encode_image(images, normalize=True))
        wide = torch.randn(2, 3, 64, 64)  # timm's whole model returns logits of its five classes
        joint = READOUTS["joint"](tiny_vit, tiny_vit(wide))
        expected = tiny_vit.model(wide)
    torch.testing.assert_close(joint[:, 0], expected / expected.norm(dim=1, keepdim=True))


def test_a_task_of_text_prompts_is_zero_shot_classification(clip, clip_tower):
    images, prompts = torch.randn(3, 3, 32, 32), torch.randint(0, 20, (5, 4))
    with torch.inference_mode():
        weight = clip.logit_scale.exp() * clip.encode_text(prompts, normalize=True)
        prompted = Task((weight, torch.zeros(5)), classes=tuple("abcde"), readout="joint", origin=SOMEWHERE)
        logits = prompted.logits(clip_tower, clip_tower(images))
        expected, _ = clip.get_logits(images, prompts)
    torch.testing.assert_close(logits, expected[:, None])


def test_logits_are_float32_of_half_precision_tokens(tiny_vit):
    final_btd = torch.randn(2, 17, 24).bfloat16()
    assert some_task("mean", 24).logits(tiny_vit, final_btd).dtype == torch.float32


def test_truth_is_the_labels_without_ignored_classes(stores):
    store, images = stores["val"], np.array([7, 0, 3])
    ignored = (2, 14)
    for readout, labels in (
        ("patches", store.patch_labels()[images]),
        ("cls", store.image_labels()[images][:, None]),
    ):
        truth = some_task(readout, 24, ignored=ignored).truth(store, images)
        assert truth.dtype == torch.int64 and tuple(truth.shape) == labels.shape
        expected = [[IGNORE if c in ignored else int(c) for c in row] for row in labels]
        assert truth.tolist() == expected
        assert some_task(readout, 24).truth(store, images).tolist() == labels.tolist()


def test_ignored_classes_are_found_by_name():
    assert ignored_classes((), ("a", "b"), "task.ignore") == ()
    assert ignored_classes(("c", "a"), ("a", "b", "c"), "task.ignore") == (2, 0)
    with pytest.raises(SaevError, match="^task.ignore: no class is called 'd'; there are a, b"):
        ignored_classes(("a", "d"), ("a", "b"), "task.ignore")


def test_a_task_survives_the_disk(stores, task, tmp_path):
    facts = {"classes": task.classes, "readout": "mean", "origin": task.origin, "ignored": (3, 1)}
    task = Task((task.weight, task.bias), **facts)
    save_task(task, tmp_path / "task")
    loaded = load_task(tmp_path / "task", stores["val"])
    assert {name: getattr(loaded, name) for name in facts} == facts
    assert torch.equal(loaded.weight, task.weight) and torch.equal(loaded.bias, task.bias)


def test_no_task_says_why(stores, tmp_path):
    save_task(None, tmp_path / "task", "nothing is labelled")
    assert load_task(tmp_path / "task", stores["val"]) is None
    config = json.loads((tmp_path / "task" / "config.json").read_text())
    assert config == {"readout": None, "reason": "nothing is labelled"}
    with pytest.raises(SaevError, match=f"{tmp_path}/none: no task there; fit one with the head stage"):
        load_task(tmp_path / "none", stores["val"])


def test_a_task_of_another_backbone_or_other_classes_is_refused(stores, task, tmp_path):
    origin = stores["val"].origin(2, ("patch",))
    for field, value in (("backbone", "another"), ("weights", "0123"), ("geometry", "wider")):
        other = Task(
            (task.weight, task.bias),
            classes=task.classes,
            readout="patches",
            origin=origin._replace(**{field: value}),
        )
        save_task(other, tmp_path / field)
        line = f"the task {tmp_path}/{field}: {field} '{value}', but {stores['val'].path} has {field} "
        with pytest.raises(SaevError, match=line) as error:
            load_task(tmp_path / field, stores["val"])
        assert "\n" not in str(error.value)
    save_task(task, tmp_path / "task")
    fewer = Relabelled(stores["val"], task.classes[:5], np.zeros(12))
    with pytest.raises(SaevError, match=f"{tmp_path}/task: its 16 classes are not the 5 of "):
        load_task(tmp_path / "task", fewer)


def test_damaged_tasks_are_one_line(stores, task, tmp_path):
    from safetensors.torch import save_file

    def weights(**changed):
        tensors = {"weight": task.weight, "bias": task.bias, **changed}
        save_file({key: value for key, value in tensors.items() if value is not None}, head)

    def config(**changed):
        (tmp_path / "task" / "config.json").write_text(json.dumps(right | changed))

    save_task(task, tmp_path / "task")
    head = tmp_path / "task" / "head.safetensors"
    right = json.loads((tmp_path / "task" / "config.json").read_text())
    whole = head.read_bytes()
    for damage in (
        lambda: head.unlink(),
        lambda: head.write_bytes(whole[:100]),
        lambda: weights(bias=None),
        lambda: weights(weight=task.weight[:-1].clone()),
        lambda: weights(weight=torch.zeros(16)),
        lambda: weights(bias=torch.full((16,), torch.nan)),
        lambda: config(origin={"backbone": "tiny"}),
        lambda: config(classes=5),
        lambda: (tmp_path / "task" / "config.json").write_text("{"),
    ):
        damage()
        with pytest.raises(
            SaevError, match=rf"^{tmp_path}/task: damaged \(.+\); run the head stage"
        ) as error:
            load_task(tmp_path / "task", stores["val"])
        assert "\n" not in str(error.value)
        weights(), config()
        assert load_task(tmp_path / "task", stores["val"]).classes == task.classes
