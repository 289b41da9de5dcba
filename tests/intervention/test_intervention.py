import numpy as np
import pytest
import torch

from saev.data import IGNORE
from saev.errors import SaevError
from saev.evaluation import fidelity
from saev.features import encode_store, load_split
from saev.intervention import Experiment, illustrate, run_experiment, summarise
from saev.intervention.edits import push_along, random_direction, set_latent
from saev.intervention.experiment import METHODS, PLACES, Counts
from saev.intervention.outcome import other_at, selectivity
from saev.probing import Match
from saev.sae import SAE, TopK
from saev.tasks import Predictor, SegmentationHead, load_head, train_head
from saev.tasks.heads import evaluate_head, save_head


@pytest.fixture(scope="module")
def sae(stores):
    mean, scale = stores["train"].tokens(1).normalisation()
    return SAE(TopK(d_sae=64, k=6), torch.from_numpy(mean), scale).requires_grad_(False)


@pytest.fixture(scope="module")
def head(stores, tiny_vit):
    return train_head(tiny_vit, stores["train"], 1, seed=0, precision="fp32")


@pytest.fixture(scope="module")
def predict(stores, tiny_vit, head):
    return Predictor(tiny_vit, head, stores["val"], 1, 12, precision="fp32", device="cpu")


@pytest.fixture(scope="module")
def splits(stores, sae, tmp_path_factory):
    out = tmp_path_factory.mktemp("codes")
    for split in ("train", "val"):
        encode_store(sae, stores[split], 1, out / split)
    return [load_split(out / split, stores[split]) for split in ("train", "val")]


def match_of(name, latent):
    return Match(
        name=name,
        latent=latent,
        threshold=0.0,
        f1_train=0.5,
        f1=0.5,
        ap=0.5,
        prevalence=0.1,
        null_f1=0.1,
        null_f1_95=0.2,
        p=0.1,
    )


def test_setting_a_latent_keeps_the_residual(sae):
    """x' must equal (x - x_hat) + decode(f with f_s := v)."""
    x = torch.randn(5, 24)
    f = sae.encode(x)
    edited = f.clone()
    edited[:, 9] = -2.5
    expected = (x - sae.decode(f)) + sae.decode(edited)
    torch.testing.assert_close(
        x + set_latent(sae, 9, -2.5, f[None, :, 9]).change()[0], expected, rtol=1e-4, atol=1e-5
    )


def test_the_random_direction_is_as_long_as_the_edit(sae):
    edit = set_latent(sae, 3, -1.0, torch.rand(2, 16))
    direction = random_direction(24, seed=1)
    control = push_along(direction, edit)
    torch.testing.assert_close(control.change().norm(dim=-1), edit.change().norm(dim=-1))
    free = edit._replace(direction_d=2.5 * edit.direction_d)  # a decoder row that is not kept at unit norm
    torch.testing.assert_close(push_along(direction, free).change().norm(dim=-1), free.change().norm(dim=-1))
    mask = torch.rand(2, 16) > 0.5
    assert torch.equal(edit.where(mask).change(), edit.change() * mask[..., None])
    assert direction.norm().item() == pytest.approx(1) and not torch.equal(
        direction, random_direction(24, seed=2)
    )


def test_head_learns_and_survives_the_disk(stores, tiny_vit, head, tmp_path):
    train, val = (
        evaluate_head(head, tiny_vit, stores[split], 1, precision="fp32") for split in ("train", "val")
    )
    majority = np.bincount(stores["train"].patch_labels()[stores["train"].patch_labels() != IGNORE]).max()
    assert train["accuracy"] > 2 * majority / (stores["train"].patch_labels() != IGNORE).sum()
    assert 0 < val["miou"] < 1
    save_head(head, tmp_path / "h")
    tokens = torch.randn(2, 16, 24)
    assert torch.equal(load_head(tmp_path / "h", stores["val"])(tokens), head(tokens))
    save_head(SegmentationHead(torch.zeros(16, 30), torch.zeros(16)), tmp_path / "wide")
    with pytest.raises(SaevError, match=r"head is \(16, 30\), .* needs \(16, 24\)"):
        load_head(tmp_path / "wide", stores["val"])


def test_head_is_sklearns_multinomial_regression(stores, tiny_vit, head):
    """The folded weights predict what logistic regression on the same standardised features predicts."""
    from saev.tasks.heads import final_patches

    (_, tokens), *_ = final_patches(tiny_vit, stores["val"], 1, np.arange(12), precision="fp32")
    probability = torch.softmax(head(tokens), -1)
    assert probability.shape == (12, 16, 16) and torch.isfinite(probability).all()
    # Of a class without training patches there must be no prediction at all.
    absent = set(range(16)) - set(np.unique(stores["train"].patch_labels()).tolist())
    assert all(probability[..., c].max() == 0 for c in absent)


def test_predictor_equals_the_whole_model(stores, tiny_vit, head, predict):
    images = torch.tensor([3, 0])
    change = torch.randn(2, 16, 24)
    tokens = torch.from_numpy(stores["val"].acts(1)[:]).float()[images]
    tokens[:, 1:] += change
    with torch.inference_mode():
        expected = head(tiny_vit.suffix(tokens, 1)[:, 1:]).argmax(-1)
    assert torch.equal(predict(images, change), expected)
    assert predict(torch.empty(0, dtype=torch.long), torch.empty(0, 16, 24)).shape == (0, 16)


def test_experiment_counts_equal_a_direct_computation(sae, predict, splits, stores):
    train, val = splits
    classes = stores["val"].classes
    present = [c for c in range(16) if (predict.labels == c).any()][:2]
    live = np.flatnonzero(train.density)[:2].tolist()
    matches = [match_of(classes[c], latent) for c, latent in zip(present, live, strict=True)]
    options = Experiment(strengths=(0.0, -3.0), max_images=12, control_images=5)
    counts, controls = run_experiment(sae, predict, matches, classes, train, val, options)

    images = torch.arange(12)
    before = predict(images)
    for c, match in enumerate(matches):
        target = predict.labels == present[c]
        code = torch.from_numpy(val.images(match.latent))
        for s, strength in enumerate(options.strengths):
            change = set_latent(
                sae, match.latent, strength * float(train.maximum[match.latent]), code
            ).change()
            for place, where in (("all", torch.ones_like(target)), ("class", target), ("active", code > 0)):
                changed = predict(images, change * where[..., None]) != before
                cell = (c, METHODS.index("chosen latent"), PLACES.index(place), s)
                np.testing.assert_array_equal(counts.target_changed[cell], (changed & target).sum(1))
                np.testing.assert_array_equal(
                    counts.other_changed[cell], (changed & ~target & (predict.labels != IGNORE)).sum(1)
                )
        assert controls[c] not in live and train.density[controls[c]] > 0
    # Ablation changes nothing where the latent is silent, so "all" and "active" are the same edit.
    np.testing.assert_array_equal(counts.target_changed[:, :2, 0, 0], counts.target_changed[:, :2, 2, 0])
    assert counts.target_changed.sum() > 0
    # The controls are counted on their own images only.
    assert (
        counts.target[:, 1:, :, :, 5:].sum()
        == counts.other_changed[:, 1:, :, :, 5:].sum()
        == 0
        < counts.other[:, 1:, :, :, :5].min()
    )


def test_pushing_the_class_weight_itself_flips_its_patches(stores, tiny_vit, predict, splits, head):
    """An edit along the head's own weight, at the last layer, must be far more selective than a random one."""
    mean, scale = stores["val"].tokens(2).normalisation()
    sae = SAE(TopK(d_sae=16, k=16), torch.from_numpy(mean), scale)
    with torch.no_grad():
        # One decoder row per class; large where the head reads that class and not the average class.
        sae.W_dec.copy_(torch.nn.functional.normalize(head.weight - head.weight.mean(0), dim=1))
        sae.W_enc.copy_(sae.W_dec.T)
    last = Predictor(tiny_vit, head, stores["val"], 2, 12, precision="fp32", device="cpu")
    before = last(torch.arange(12))
    c = int(torch.bincount(before.flatten()).argmax())
    away = set_latent(sae, c, -1.0, torch.zeros(12, 16))
    gap = []
    for edit in (away, *(push_along(random_direction(24, seed), away) for seed in range(20))):
        after = last(torch.arange(12), edit.change())
        gap.append(
            ((after != c)[before == c].float().mean() - (after != before)[before != c].float().mean()).item()
        )
    assert gap[0] > 0.3 and gap[0] > np.mean(gap[1:]) + 0.2


def test_fidelity_of_a_perfect_and_of_an_empty_sae(stores, predict):
    mean, scale = stores["val"].tokens(1).normalisation()
    sae = SAE(TopK(d_sae=48, k=48), torch.from_numpy(mean), scale)
    with torch.no_grad():  # f = (z, -z) as positive parts: an exact code of any input
        sae.W_dec.copy_(torch.cat([torch.eye(24), -torch.eye(24)]))
        sae.W_enc.copy_(sae.W_dec.T)
    result = fidelity(sae, predict)
    assert result["recovered"] == pytest.approx(1, abs=0.02)
    known = predict.labels != IGNORE
    assert result["accuracy_original"] == pytest.approx(
        (predict(torch.arange(12)) == predict.labels)[known].double().mean().item()
    )
    with torch.no_grad():
        sae.mean.zero_(), sae.b_enc.fill_(-1e6)  # reconstructs zero, which is the zero-ablation
    assert fidelity(sae, predict)["recovered"] == pytest.approx(0, abs=1e-6)


def test_illustration_edits_an_image_that_shows_the_class(sae, predict, splits, stores):
    classes = stores["val"].classes
    c = int(predict.labels[predict.labels != IGNORE][0])
    (edited,) = illustrate(sae, predict, [match_of(classes[c], 5)], classes, *splits, -2.0)
    assert (predict.labels[edited.image] == c).any()
    np.testing.assert_array_equal(edited.before, predict(torch.tensor([edited.image]))[0])


def test_selectivity_and_other_at_by_hand():
    assert selectivity([(0.5, 0.5)]) == pytest.approx(0.5)
    assert selectivity([(1.0, 0.0)]) == pytest.approx(1.0)
    # (0,0) - (0.2,0.8) - (1,1): 0.08 + 0.72
    assert selectivity([(0.8, 0.2)]) == pytest.approx(0.8)
    points = [(0.4, 0.0), (0.6, 0.1), (1.0, 0.3)]  # (target, other)
    assert other_at(points, 0.8) == pytest.approx(0.2)
    assert other_at(points, 0.2) == pytest.approx(0.0)
    assert other_at(points[:2], 0.8) is None


def test_summary_pools_and_averages():
    shape = (2, len(METHODS), len(PLACES), 1, 3)
    counts = Counts(*(np.zeros(shape, np.int64) for _ in range(4)))
    counts.target[0], counts.target[1] = [10, 0, 10], [0, 80, 0]
    counts.target_changed[0, 0, 0, 0], counts.target_changed[1, 0, 0, 0] = [10, 0, 0], [0, 80, 0]
    counts.other[:] = 100
    counts.other_changed[0, 0, 0, 0] = [3, 0, 0]
    summary = summarise(counts, ["a", "b"], (-1.0,))
    point = summary["points"][0]
    assert (point["method"], point["place"], point["strength"]) == ("chosen latent", "all", -1.0)
    assert point["target"] == pytest.approx(90 / 100)  # pooled over patches
    assert point["target_mean"] == pytest.approx((0.5 + 1) / 2)  # mean over classes
    assert point["other"] == pytest.approx(3 / 600)
    low, high = point["target_interval"]
    assert 0 <= low <= point["target_mean"] <= high <= 1
    assert summary["classes"][0] == {
        "class": "a",
        "place": "all",
        "strength": -1.0,
        "target": 0.5,
        "other": 0.01,
    }


@pytest.mark.parametrize("value", [0, "many"])
def test_bad_options_are_named_and_echoed(value):
    with pytest.raises(SaevError, match=f"intervene.max_images must be .*{value}"):
        Experiment(max_images=value, control_images=1)
