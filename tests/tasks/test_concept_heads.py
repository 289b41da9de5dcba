"""Heads of concepts against scikit-learn, on all that was recorded."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saev.data import Mosaic
from saev.data.attributes import CONCEPTS
from saev.errors import SaevError
from saev.tasks import TaskOptions, evaluate_concepts, load_task, save_task, train_concepts, train_task
from saev.tasks.heads import ABSENT
from tests.activations.examples import CPU, make

EVERYTHING = TaskOptions(per_image=16)


class Described:
    """Images of which a table says what they show: `odd` of every second, `never` of none."""

    classes, described, concepts, clusters = Mosaic.classes, "images", ("odd", "never"), ()

    def __init__(self, scenes):
        self.scenes, self.fingerprint, self.name = scenes, "described", scenes.name

    def __len__(self):
        return len(self.scenes)

    def __getitem__(self, i):
        from saev.data.sample import Regions

        sample = self.scenes[i]
        return sample._replace(regions=Regions(np.array([[i % 2, 0]], np.int8), np.array([i], np.uint32)))


@pytest.fixture(scope="module")
def head(tiny_vit, stores):
    return train_concepts(tiny_vit, stores["train"], 1, EVERYTHING, 0, CPU)


def finals(backbone, store):
    """The final patch tokens of every image, (units, d)."""
    x_btd = torch.from_numpy(store.residual(1, np.arange(store.n_images))).float()
    with torch.inference_mode():
        return backbone.suffix(x_btd, 1)[:, 1:].flatten(0, 1).numpy()


def test_each_concept_is_a_regression_of_its_own(tiny_vit, stores, head):
    truth_nc = stores["train"].concepts().reshape(-1, len(CONCEPTS))
    x_nd, asked_nd = finals(tiny_vit, stores["train"]), finals(tiny_vit, stores["val"])
    logits = asked_nd @ head.weight.numpy().T + head.bias.numpy()
    # Standardised by all units that anything is known of, as the head's are.
    scaler = StandardScaler().fit(x_nd[(truth_nc >= 0).any(1)])
    assert head.classes == CONCEPTS and head.several and head.readout == "patches"
    for c in range(len(CONCEPTS)):
        known = truth_nc[:, c] >= 0
        model = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8).fit(
            scaler.transform(x_nd[known]), truth_nc[known, c]
        )
        expected = model.decision_function(scaler.transform(asked_nd))
        np.testing.assert_allclose(logits[:, c], expected, atol=2e-2)


def test_its_figures_are_those_of_scikit_learn(tiny_vit, stores, head):
    rows = {row["name"]: row for row in evaluate_concepts(head, tiny_vit, stores["val"], 1, CPU)}
    truth_nc = stores["val"].concepts().reshape(-1, len(CONCEPTS))
    logits = finals(tiny_vit, stores["val"]) @ head.weight.numpy().T + head.bias.numpy()
    assert len(rows) >= 10
    for name, row in rows.items():
        c = CONCEPTS.index(name)
        known = truth_nc[:, c] >= 0
        truth, score = truth_nc[known, c], logits[known, c]
        assert row["units"] == known.sum()
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, score), abs=2e-3)
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, score > 0), abs=5e-3)


def test_what_it_says_and_what_is_so(stores, head, task):
    images = np.array([3, 0])
    logits_buc = torch.randn(2, 16, len(CONCEPTS))
    truth = stores["val"].concepts()[images]
    for c in range(len(CONCEPTS)):
        assert torch.equal(head.says(logits_buc, c), logits_buc[..., c] > 0)
        assert (head.shown(stores["val"], images, c).numpy() == truth[..., c]).all()
    one = torch.randn(2, 16, len(task.classes))
    labels = stores["val"].patch_labels()[images]
    for c in range(len(task.classes)):
        assert torch.equal(task.says(one, c), one.argmax(-1) == c)
        expected = np.where(labels == 65535, -1, labels == c)
        assert (task.shown(stores["val"], images, c).numpy() == expected).all()


def test_images_that_are_described_are_read_as_images(tiny_vit, tmp_path):
    store = make(tiny_vit, tmp_path / "acts", Described(Mosaic(split="train", n=24, size=64)), layers=(1,))
    for readout, reads in (("auto", "cls"), ("cls", "cls"), ("mean", "mean")):
        head = train_concepts(tiny_vit, store, 1, TaskOptions(readout=readout), 0, CPU)
        assert head.readout == reads and head.bias[1] == ABSENT and not head.weight[1].any()
        x_btd = torch.from_numpy(store.residual(1, np.arange(24))).float()
        with torch.inference_mode():
            final_btd = tiny_vit.suffix(x_btd, 1)
        x_nd = (final_btd[:, 0] if reads == "cls" else final_btd[:, 1:].mean(1)).numpy()
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000, tol=1e-8))
        expected = model.fit(x_nd, np.arange(24) % 2).decision_function(x_nd)
        np.testing.assert_allclose(head.logits(tiny_vit, final_btd)[:, 0, 0], expected, atol=2e-2)
    (row,) = evaluate_concepts(head, tiny_vit, store, 1, CPU)
    assert row["name"] == "odd" and row["units"] == 24


def test_without_concepts_there_is_no_head(tiny_vit, tmp_path):
    from tests.activations.examples import Odd

    store = make(tiny_vit, tmp_path / "acts", Odd(lambda sample: sample._replace(regions=None)), layers=(1,))
    assert train_concepts(tiny_vit, store, 1, TaskOptions(), 0, CPU) is None


def test_it_is_saved_beside_the_other_task(tiny_vit, stores, head, tmp_path):
    both = train_task(tiny_vit, stores["train"], 1, TaskOptions(), 0, CPU), head
    save_task(both[0], tmp_path / "head")
    save_task(both[1], tmp_path / "head" / "concepts")
    for made, path in zip(both, (tmp_path / "head", tmp_path / "head" / "concepts"), strict=True):
        loaded = load_task(path, stores["val"])
        assert torch.equal(loaded.weight, made.weight)
        assert (loaded.several, loaded.classes, loaded.readout) == (made.several, made.classes, made.readout)
    head.classes, classes = (*head.classes[:-1], "other"), head.classes
    save_task(head, tmp_path / "other")
    head.classes = classes
    with pytest.raises(SaevError, match="13 classes are not the 13"):
        load_task(tmp_path / "other", stores["val"])
