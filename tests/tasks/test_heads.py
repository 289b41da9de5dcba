"""Fitted tasks against scikit-learn, and their figures against its metrics."""

import copy

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, jaccard_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saev.backbones.from_timm import TimmVit
from saev.data import IGNORE
from saev.errors import SaevError
from saev.tasks import TaskOptions, evaluate_task, train_task
from saev.tasks.heads import balanced_accuracy
from tests.activations.examples import CPU
from tests.relabelled import Relabelled

EVERYTHING = {"max_images": 40, "per_image": 16}
"""All patches of the training images: no draw of them is left to the task."""


def fitted(backbone, store, **options):
    return train_task(backbone, store, 1, TaskOptions(**options), 0, CPU)


def finals(backbone, store):
    """The final tokens of every image, (n, t, d)."""
    x_btd = torch.from_numpy(store.residual(1, np.arange(store.n_images))).float()
    with torch.inference_mode():
        return backbone.suffix(x_btd, 1)


def regression(x_nd, y_n, asked_nd, n_classes, c=0.1):
    """What a task is fitted by, run to convergence: the probabilities of `asked_nd`, (n, n_classes)."""
    model = LogisticRegression(C=c, max_iter=2000, tol=1e-6)
    pipe = make_pipeline(StandardScaler(), model).fit(x_nd, y_n)
    probabilities = np.zeros((len(asked_nd), n_classes))
    probabilities[:, model.classes_] = pipe.predict_proba(asked_nd)
    return probabilities


def probabilities(task, backbone, final_btd):
    return torch.softmax(task.logits(backbone, final_btd).double(), -1).flatten(0, 1).numpy()


def of_patches(labels, names):
    """`labels(old)` of each patch; the image's label is whatever it was."""

    def relabel(store):
        old = store.patch_labels()
        new = np.where(old == IGNORE, IGNORE, labels(old))
        return Relabelled(store, names, store.image_labels() % len(names), new)

    return relabel


three_of_four = of_patches(lambda old: np.array([0, 1, 3, 3])[old % 4], ("a", "b", "never", "d"))
two_of_three = of_patches(lambda old: np.where(old < 5, 0, 2), ("a", "never", "c"))


@pytest.mark.parametrize(
    "relabel", [lambda store: store, three_of_four, two_of_three], ids=["sixteen", "three", "two"]
)
def test_a_task_on_patches_is_logistic_regression(stores, tiny_vit, relabel):
    """Multinomial, or with two classes binary; a class that training lacks is never predicted."""
    train = relabel(stores["train"])
    task = fitted(tiny_vit, train, c=0.01, **EVERYTHING)
    labels, x_nd = train.patch_labels().ravel(), finals(tiny_vit, train)[:, 1:].flatten(0, 1)
    known, val = labels != IGNORE, finals(tiny_vit, stores["val"])
    found = probabilities(task, tiny_vit, val)
    asked = val[:, 1:].flatten(0, 1)
    expected = regression(x_nd[known], labels[known], asked, len(train.classes), c=0.01)
    np.testing.assert_allclose(found, expected, atol=0.01)
    np.testing.assert_array_equal(found.sum(0) == 0, expected.sum(0) == 0)
    assert (task.classes, task.readout, task.ignored) == (train.classes, "patches", ())
    assert task.origin == train.origin(1, ("cls", "patch"))


def test_ignored_classes_count_in_nothing(stores, tiny_vit):
    train = three_of_four(stores["train"])
    task = fitted(tiny_vit, train, ignore=("b",), c=0.01, **EVERYTHING)
    labels, x_nd = train.patch_labels().ravel(), finals(tiny_vit, train)[:, 1:].flatten(0, 1)
    others = np.isin(labels, (0, 3))
    val = finals(tiny_vit, stores["val"])
    asked = val[:, 1:].flatten(0, 1)
    expected = regression(x_nd[others], labels[others], asked, 4, c=0.01)
    np.testing.assert_allclose(probabilities(task, tiny_vit, val), expected, atol=0.01)
    assert task.ignored == (1,)
    with pytest.raises(SaevError, match="task.ignore: no class is called 'x'"):
        fitted(tiny_vit, train, ignore=("x",))


@pytest.mark.parametrize("readout", ["auto", "cls", "mean"])
def test_a_task_on_images_reads_their_labels_alone(stores, tiny_vit, readout):
    store = Relabelled(stores["train"], "abc", np.arange(40) % 3, missing=(1, 7))
    task = fitted(tiny_vit, store, readout=readout)
    assert task.readout == ("cls" if readout == "auto" else readout)
    final, asked = (finals(tiny_vit, stores[split]) for split in ("train", "val"))
    x_nd, asked_nd = (each[:, 1:].mean(1) if readout == "mean" else each[:, 0] for each in (final, asked))
    there = np.setdiff1d(np.arange(40), (1, 7))
    expected = regression(x_nd[there], there % 3, asked_nd, 3)
    np.testing.assert_allclose(probabilities(task, tiny_vit, asked), expected, atol=0.01)


def test_images_are_drawn_spread_over_their_classes(stores, tiny_vit):
    """A class of one image, the last of a sorted folder, is among the few that are drawn."""
    store = Relabelled(stores["train"], "abc", [0] * 30 + [1] * 9 + [2])
    task = fitted(tiny_vit, store, per_class=1)
    assert (probabilities(task, tiny_vit, finals(tiny_vit, store)).min(0) > 0).all()


def test_patches_are_drawn_of_images_that_have_labels(stores, tiny_vit):
    labels = np.full((40, 16), IGNORE)
    labels[[11, 33]] = [0] * 8 + [1] * 8
    store = Relabelled(stores["train"], "ab", np.full(40, IGNORE), labels)
    task = fitted(tiny_vit, store, max_images=2)
    final = finals(tiny_vit, store)
    x_nd, asked = final[[11, 33], 1:].flatten(0, 1), final[:, 1:].flatten(0, 1)
    expected = regression(x_nd, labels[[11, 33]].ravel(), asked, 2)
    np.testing.assert_allclose(probabilities(task, tiny_vit, final), expected, atol=0.01)


def test_what_auto_reads(stores, tiny_vit):
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        depth=1,
        embed_dim=24,
        num_heads=3,
        class_token=False,
        global_pool="avg",
    )
    without_cls = TimmVit(model, name="without cls")
    weak = Relabelled(stores["val"], "ab", np.arange(12) % 2)
    assert TaskOptions().reads(tiny_vit, stores["val"]) == "patches"
    assert TaskOptions().reads(tiny_vit, weak) == "cls"
    assert TaskOptions().reads(without_cls, weak) == "mean"
    assert TaskOptions(readout="patches").reads(tiny_vit, weak) == "patches"
    with pytest.raises(SaevError, match="^task.readout is cls, but without cls has no cls token"):
        TaskOptions(readout="cls").reads(without_cls, weak)


def test_without_labels_of_two_classes_there_is_no_task(stores, tiny_vit):
    train = stores["train"]
    unlabelled = Relabelled(train, (), np.full(40, IGNORE))
    one = Relabelled(train, "ab", np.zeros(40))
    assert fitted(tiny_vit, unlabelled) is None
    for readout in ("patches", "cls"):
        assert fitted(tiny_vit, one, readout=readout) is None
    two = Relabelled(train, "ab", np.arange(40) == 39)
    assert fitted(tiny_vit, two, readout="patches", ignore=("a",)) is None
    assert fitted(tiny_vit, two, readout="patches", max_images=1) is None  # whichever image is drawn
    assert fitted(tiny_vit, two, readout="patches", max_images=2, per_image=1) is None
    assert fitted(tiny_vit, Relabelled(train, "ab", np.arange(40) == 39, missing=(39,))) is None


def test_a_task_depends_on_its_seed_alone(stores, tiny_vit):
    options = TaskOptions(max_images=20, per_image=4)
    first, again, other = (
        train_task(tiny_vit, stores["train"], 1, options, seed, CPU).weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_on_another_device(stores, tiny_vit, task, elsewhere):
    moved = copy.deepcopy(tiny_vit)
    there = train_task(moved, stores["train"], 1, TaskOptions(), 0, elsewhere)
    assert next(moved.parameters()).device == elsewhere.device and there.weight.device.type == "cpu"
    torch.testing.assert_close(there.weight, task.weight, rtol=0.01, atol=0.01)
    figures = evaluate_task(there, moved, stores["val"], 1, elsewhere)
    assert figures == pytest.approx(evaluate_task(there, tiny_vit, stores["val"], 1, CPU), abs=0.02)


@pytest.mark.parametrize("name", ["task", "image_task"])
def test_figures_of_a_task_are_sklearns(stores, tiny_vit, name, request):
    task, store = request.getfixturevalue(name), stores["val"]
    figures = evaluate_task(task, tiny_vit, store, 1, CPU)
    labels = store.patch_labels().ravel() if name == "task" else store.image_labels()
    known = labels != IGNORE
    predicted = probabilities(task, tiny_vit, finals(tiny_vit, store)).argmax(1)[known]
    truth, there = labels[known], np.unique(labels[known])
    either = np.union1d(predicted, truth)
    assert figures == {
        "accuracy": pytest.approx(accuracy_score(truth, predicted)),
        "balanced_accuracy": pytest.approx(recall_score(truth, predicted, labels=there, average="macro")),
        "miou": pytest.approx(jaccard_score(truth, predicted, labels=either, average="macro")),
        "units": len(truth),
        "classes": len(there),
    }


def test_figures_leave_out_what_is_ignored_or_missing(stores, tiny_vit, task):
    whole = evaluate_task(task, tiny_vit, stores["val"], 1, CPU)
    labels = stores["val"].patch_labels()
    partly = Relabelled(stores["val"], task.classes, stores["val"].image_labels(), labels, missing=(4,))
    found = evaluate_task(task, tiny_vit, partly, 1, CPU)
    assert found["units"] == whole["units"] - (labels[4] != IGNORE).sum()
    with pytest.raises(SaevError, match=f"{stores['val'].path}: nothing is labelled"):
        evaluate_task(task, tiny_vit, Relabelled(stores["val"], task.classes, [IGNORE] * 12), 1, CPU)


def test_a_task_learns(stores, tiny_vit, task):
    figures = evaluate_task(task, tiny_vit, stores["train"], 1, CPU)
    labels = stores["train"].patch_labels()
    majority = np.bincount(labels[labels != IGNORE]).max() / (labels != IGNORE).sum()
    assert figures["accuracy"] > 2 * majority


def test_balanced_accuracy_by_hand():
    predicted, truth = torch.tensor([0, 0, 1, 1, 2, 5]), torch.tensor([0, 0, 0, 1, 1, 1])
    assert balanced_accuracy(predicted, truth) == pytest.approx((2 / 3 + 1 / 3) / 2)
    mostly = torch.tensor([0] * 99 + [1])
    assert balanced_accuracy(torch.zeros(100), mostly) == 0.5  # a dominant class does not carry it


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_balanced_accuracy_is_the_mean_recall(pairs):
    predicted, truth = np.array(pairs).T
    expected = recall_score(truth, predicted, labels=np.unique(truth), average="macro")
    assert balanced_accuracy(torch.from_numpy(predicted), torch.from_numpy(truth)) == pytest.approx(expected)


@pytest.mark.parametrize("option", [{"readout": "joint"}, {"c": 0}, {"per_image": 0}, {"ignore": "sky"}])
def test_bad_options_are_named_and_echoed(option):
    ((name, value),) = option.items()
    with pytest.raises(SaevError, match=f"^task.{name} must be .*, got '?{value}'?$"):
        TaskOptions(**option)
