"""Tasks that are told by texts or by images: a tiny open_clip model with random weights, run by hand."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from saev.backbones import open_clip_vit
from saev.data import Mosaic
from saev.errors import SaevError
from saev.intervention import Arm, Setup, run_experiment, trials
from saev.tasks import Continuation, evaluate_task, load_task, save_task
from saev.tasks.retrieval import Retrieval
from saev.tasks.zero_shot import ZeroShot
from tests.activations.examples import CPU, make
from tests.intervention.examples import codes_of, liveliest, sae_of

TEMPLATES = ("a photo of a {}.", "{} from above")


@pytest.fixture(scope="module", params=[None, -3.0], ids=["clip", "with a bias"])
def told(request, tmp_path_factory):
    """Both towers by hand, the image tower as a backbone, and its stores."""
    import open_clip

    folder, bias = tmp_path_factory.mktemp("told"), request.param
    name = f"told-{'biased' if bias else 'plain'}"
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}
    config |= {"init_logit_bias": bias} if bias else {}
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # that of the random weights
        model = open_clip.create_model(name).eval()
    backbone = open_clip_vit(model=name)
    scenes = {split: Mosaic(split=split, n=16, size=32) for split in ("train", "val")}
    stores = {split: make(backbone, folder / split, of) for split, of in scenes.items()}
    return model, open_clip.get_tokenizer(name), backbone, scenes, stores


def seen_by_hand(told, split):
    """(n, o) what the model itself makes of the images, at unit length."""
    model, _, backbone, scenes, _ = told
    pixels = torch.from_numpy(np.stack([backbone.preprocess.crop(sample.image) for sample in scenes[split]]))
    with torch.inference_mode():
        return model.encode_image(backbone.preprocess.normalise(pixels), normalize=True)


def close(found, expected):
    """Of activations that were stored in half precision."""
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def answers(task, told):
    store = told[-1]["val"]
    return Continuation.from_store(told[2], task, store, 1, np.arange(16), CPU)


def test_classes_are_told_by_words_as_the_whole_model_tells_them(told):
    model, tokenize, backbone, _, stores = told
    task = ZeroShot(templates=TEMPLATES).fit(backbone, stores["train"], 1, 0, CPU)
    with torch.inference_mode():
        texts = [
            model.encode_text(tokenize([of.replace("{}", name) for name in task.classes]), normalize=True)
            for of in TEMPLATES
        ]
        unit_co = F.normalize((texts[0] + texts[1]) / 2, dim=-1)
        bias = 0 if model.logit_bias is None else model.logit_bias
        expected = model.logit_scale.exp() * seen_by_hand(told, "val") @ unit_co.T + bias
    close(answers(task, told).logits()[:, 0], expected)


def test_images_are_retrieved_by_the_mean_of_the_training_images_of_a_class(told):
    _, _, backbone, _, stores = told
    task = Retrieval(per_class=100).fit(backbone, stores["train"], 1, 0, CPU)
    seen, label = seen_by_hand(told, "train"), torch.from_numpy(stores["train"].image_labels().astype(int))
    logits, val = answers(task, told).logits()[:, 0], seen_by_hand(told, "val")
    for c in range(len(task.classes)):
        if (label == c).any():
            close(logits[:, c], F.cosine_similarity(val, seen[label == c].mean(0)[None]))
        else:
            assert (logits[:, c] < -1000).all()  # never the answer


@pytest.mark.parametrize("asking", [ZeroShot(), Retrieval(ignore=("cat",))])
def test_they_go_all_the_way_to_edits(told, asking, tmp_path):
    _, _, backbone, _, stores = told
    save_task(asking.fit(backbone, stores["train"], 1, 0, CPU), tmp_path / "task")
    task = load_task(tmp_path / "task", stores["val"])
    assert evaluate_task(task, backbone, stores["val"], 1, CPU)["units"] == (
        (task.truth(stores["val"], np.arange(16)) != 65535).sum()
    )
    train, val = (stores[split].tokens(1, ("patch",)) for split in ("train", "val"))
    sae = sae_of(train)
    setup = Setup(sae, answers(task, told), val, codes_of(sae, train), codes_of(sae, val))
    target = int(task.truth(stores["val"], np.arange(16)).unique()[0])
    (trial,) = trials(setup, {task.classes[target]: liveliest(setup, 1)}, 0)
    arm = Arm(place="all", strengths=(-8.0,), images=16)
    (found,) = run_experiment(setup, [trial], [arm])
    after = setup.model.logits(change_btd=setup.whole(arm.applied(trial, -8.0).change()))
    moved = (after - setup.before_buc)[..., target].double()
    shown = task.truth(stores["val"], np.arange(16)) == target
    assert found.sums["target_logit"].part.sum() == pytest.approx(moved[shown].sum().item(), abs=1e-4)
    assert moved.abs().max() > 1e-3


def test_a_model_that_reads_no_texts_and_templates_without_a_place(tiny_vit, stores):
    with pytest.raises(SaevError, match="^task: .* has no text tower, as open_clip's models have$"):
        ZeroShot().fit(tiny_vit, stores["train"], 1, 0, CPU)
    for templates in (("a photo",), ("{} and {}",)):
        with pytest.raises(SaevError, match="^task.templates must each have {} for the class once, got '"):
            ZeroShot(templates=templates)
    with pytest.raises(SaevError, match="^task.templates must name at least one sentence"):
        ZeroShot(templates=())
