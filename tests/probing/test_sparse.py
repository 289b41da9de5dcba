"""Probes of k latents: constructed truth, scikit-learn by hand, and nobody judges what it has chosen."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from saev.probing import Splits, dense, difference, few, mean_f1, sparse
from saev.probing.concepts import classes_of_tokens
from saev.probing.sparse import dense_probes, sparse_probes
from tests.probing.examples import codes_of, concepts_of, random_codes

ONE = (1.0,)


def probed(train, val, ks=(1, 2, 5), **options):
    """Of ((n, s) codes, Concepts) of the splits: probes by (concept, k)."""
    codes, asked = zip(*((codes_of(dense), asked) for dense, asked in (train, val)), strict=True)
    probes = sparse_probes(Splits(*codes, *asked), ks, seed=0, **options)
    return {(probe.name, probe.k): probe for probe in probes}


def either(rng, n):
    """A concept that is there where latent 3 or latent 7 fires, among latents at random."""
    dense = random_codes(rng, n, 30)
    dense[:, [3, 7]] = 1.5 * (dense[:, [3, 7]] > 0)
    return dense, concepts_of((dense[:, [3]] > 0) | (dense[:, [7]] > 0))


def test_a_concept_of_two_latents_takes_two():
    rng = np.random.default_rng(0)
    found = probed(either(rng, 800), either(rng, 400))
    one, two = (found["concept 0", k] for k in (1, 2))
    assert {*two.latents_fk[0].tolist()} == {3, 7} and one.latents_fk[0].tolist() == [two.latents_fk[0, 0]]
    assert [two.scores[score] for score in ("auroc", "ap", "f1", "balanced_accuracy")] == pytest.approx(
        [1] * 4
    )
    assert one.scores["auroc"] < 0.9 and one.scores["f1"] < 0.9


def test_latents_of_noise_stay_at_chance_on_validation():
    """Ranked on what judges them they would not: so it is with the same units on both sides."""
    aurocs = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        train, val = (
            (random_codes(rng, 200, 4096), concepts_of(rng.integers(0, 2, (200, 1)))) for _ in range(2)
        )
        aurocs.append(probed(train, val, (16,))["concept 0", 16].scores["auroc"])
        assert probed(train, train, (16,))["concept 0", 16].scores["auroc"] > 0.85
    error = np.sqrt(201 / (12 * 100 * 100) / 3)  # of Mann and Whitney's, under no effect
    assert abs(np.mean(aurocs) - 0.5) < 3 * error


def by_hand(x_train, y_train, x_val, y_val):
    """Scores of scikit-learn's classifier at C = 1."""
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(x_train, y_train)
    logit, yes = model.decision_function(x_val), model.predict(x_val)
    return {
        "auroc": roc_auc_score(y_val, logit),
        "ap": average_precision_score(y_val, logit),
        "f1": f1_score(y_val, yes),
        "balanced_accuracy": balanced_accuracy_score(y_val, yes),
        "prevalence": np.mean(y_val),
    }


def test_probes_are_scikit_learns_with_unknown_units(monkeypatch):
    """On the latents of the largest ANOVA F, in units of their largest code."""
    monkeypatch.setattr(few, "PENALTIES", ONE)
    rng = np.random.default_rng(1)
    sides = []
    for n in (400, 300):
        dense = random_codes(rng, n, 12) * np.float32(10.0) ** rng.integers(-2, 3, 12)
        truth = rng.random((n, 1)) < 0.2 + 0.5 * (dense[:, [4]] > 0) * (dense[:, [9]] == 0)
        sides.append((dense, concepts_of(np.where(rng.random((n, 1)) < 0.2, -1, truth), rng.random(n) < 0.9)))
    (x_train, y_train), (x_val, y_val) = (
        (dense[asked.of(0)[0]].astype(float), asked.of(0)[1]) for dense, asked in sides
    )
    order = np.argsort(-f_classif(x_train, y_train)[0])
    for (_, k), probe in probed(*sides, (1, 3, 12)).items():
        if k < 12:
            np.testing.assert_array_equal(probe.latents_fk, [order[:k]])
        mine = probe.latents_fk[0]
        scale = x_train[:, mine].max(0)
        expected = by_hand(x_train[:, mine] / scale, y_train, x_val[:, mine] / scale, y_val)
        assert {name: probe.scores[name] for name in expected} == pytest.approx(expected, abs=1e-9)
        assert probe.scores["units"] == y_val.sum()


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e6])
def test_newtons_method_finds_the_weights_of_scikit_learn(penalty):
    rng = np.random.default_rng(2)
    x = random_codes(rng, 300, 4).astype(float)
    x[:, 3] = x[:, 2]
    for shown in (x[:, 0] > 0, rng.random(300) < 0.1):
        model = LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-9).fit(x, shown)
        ((weights, intercept),) = few.newton(x, shown, (penalty,))
        assert [*weights, intercept] == pytest.approx(
            [*model.coef_[0], *model.intercept_], rel=1e-3, abs=1e-4
        )


def clustered(rng, n, names, tells):
    """A latent for each cluster, which tells the concept there and, if `tells`, everywhere."""
    asked = concepts_of(rng.integers(0, 2, (n, 1)))
    cluster = rng.permutation(np.arange(n) % len(names))
    mine = (cluster[:, None] == np.arange(len(names))) | tells
    dense = np.where(mine, asked.truth.toarray() * 2.0, rng.integers(0, 2, (n, len(names))))
    return dense, replace(asked, cluster=cluster, clusters=names)


def test_the_penalty_is_chosen_across_clusters_of_training():
    rng = np.random.default_rng(3)
    one, other = tuple("abcdef"), tuple("uvwxyz")
    strict, lax = (
        probed(clustered(rng, 360, one, tells), clustered(rng, 360, other, tells), (5,))["concept 0", 5]
        for tells in (False, True)
    )
    assert strict.scores["penalties"] == [0.01] and lax.scores["penalties"] == [100.0]
    alone = probed(clustered(rng, 60, ("a",), True), clustered(rng, 60, ("u",), True), (1,))["concept 0", 1]
    assert alone.scores["penalties"] == [1.0]  # there is nobody to ask


def test_nothing_is_chosen_by_validation():
    rng = np.random.default_rng(4)
    train = either(rng, 400)
    chosen = []
    for val in (either(rng, 200), (random_codes(rng, 120, 30), concepts_of(rng.integers(0, 2, (120, 1))))):
        probes = probed(train, val).values()
        chosen.append([(probe.latents_fk.tolist(), probe.scores["penalties"]) for probe in probes])
    assert chosen[0] == chosen[1]


def test_no_cluster_that_chose_judges():
    """Each latent knows the concept in one cluster only: perfect there, nothing elsewhere."""
    rng, names = np.random.default_rng(5), tuple("abcdefghijkl")
    cluster, truth = np.repeat(np.arange(12), 40), rng.integers(0, 2, (480, 1))
    dense = 2.0 * ((cluster[:, None] == np.arange(12)) & (truth > 0))
    asked = replace(concepts_of(truth), cluster=cluster, clusters=names)
    probe = probed((dense, asked), (dense, asked), (10,))["concept 0", 10]
    assert probe.scores["auroc"] == 0.5 and len(probe.latents_fk) == 4
    for f, chosen in enumerate(probe.latents_fk):  # of the nine that know anything where others choose
        mine = sparse.folds(asked, asked, 0).val_u == f
        assert not {*chosen[:9].tolist()} & {*cluster[mine].tolist()}
    own = replace(asked, clusters=())
    assert probed((dense, own), (dense, own), (10,))["concept 0", 10].scores["auroc"] > 0.9


def test_what_cannot_be_asked_is_left_out():
    rng = np.random.default_rng(6)
    dense, truth = random_codes(rng, 80, 4), rng.integers(0, 2, (80, 5))
    truth[:, 1], truth[:, 2], truth[:, 3] = 0, 1, -1
    asked, lacking = concepts_of(truth), concepts_of(np.where(np.arange(5) == 4, 0, truth))
    for sides in (((dense, asked), (dense, lacking)), ((dense, lacking), (dense, asked))):
        assert [*probed(*sides)] == [("concept 0", 1), ("concept 0", 2)]
    assert not probed((dense, asked), (dense, asked), (9,))
    silent = probed((0 * dense, asked), (dense, asked), (2,))["concept 0", 2].scores
    assert silent["auroc"] == 0.5 and silent["ap"] == pytest.approx(silent["prevalence"])


def test_a_concept_of_one_cluster_is_not_learned_there():
    """The fold that judges it has seen "no" only, and says so."""
    names, cluster = tuple("abcdefgh"), np.repeat(np.arange(8), 20)
    truth = (cluster == 2)[:, None] & (np.arange(160) % 2 > 0)[:, None]
    asked = replace(concepts_of(truth), cluster=cluster, clusters=names)
    dense = np.hstack([truth * 1.0, random_codes(np.random.default_rng(7), 160, 3)])
    scores = probed((dense, asked), (dense, asked), (1,))["concept 0", 1].scores
    assert scores["f1"] == 0 and scores["auroc"] == 0.5 and scores["balanced_accuracy"] == 0.5


def test_units_are_drawn_by_seed_and_probes_compared():
    rng = np.random.default_rng(8)
    train, val = either(rng, 400), either(rng, 400)
    few, again, all_ = (probed(train, val, max_units=n) for n in (20, 20, 400))
    assert [p.scores for p in few.values()] == [p.scores for p in again.values()]
    two = [[side["concept 0", 2]] for side in (all_, few)]
    assert mean_f1(two[0]).value == two[0][0].scores["f1"]
    found = difference(*two)
    assert found.value == pytest.approx(two[0][0].scores["f1"] - two[1][0].scores["f1"]) and found.low > 0


def test_all_activations_are_scikit_learns_standardised(stores, monkeypatch):
    monkeypatch.setattr(dense, "PENALTIES", ONE)
    splits, acts = [], []
    for split in ("train", "val"):
        asked = classes_of_tokens(tokens := stores[split].tokens(2))
        splits.append((codes_of(np.ones((len(asked.known), 1)), tokens.per_image), asked, tokens))
        acts.append(stores[split].acts(2)[:][:, tokens.positions].astype(np.float64).reshape(-1, 24))
    probes = dense_probes(*splits, seed=0)
    assert len(probes) > 3
    for probe in probes:
        (train, y_train), (val, y_val) = (s[1].of(s[1].names.index(probe.name)) for s in splits)
        mean, std = acts[0][train].mean(0), acts[0][train].std(0)
        expected = by_hand((acts[0][train] - mean) / std, y_train, (acts[1][val] - mean) / std, y_val)
        assert probe.k == 24 and probe.scores["auroc"] == pytest.approx(expected["auroc"], abs=0.01)
        assert probe.scores["balanced_accuracy"] == pytest.approx(expected["balanced_accuracy"], abs=0.02)


def test_fits_together_are_as_good_as_those_of_scikit_learn_one_by_one():
    """By what both minimise, on features of any scale that depend on each other, each on units of its own."""
    rng = np.random.default_rng(9)
    x = (rng.normal(size=(500, 6)) @ rng.normal(size=(6, 20)) + rng.normal(size=(500, 20))).astype(np.float32)
    axes = dense.Axes.of(x * np.float32(10.0) ** rng.integers(-3, 4, 20) + 5)
    sign = np.where(x[:, :3] + rng.normal(size=(500, 3)) > [0, 1, 2], 1, -1) * (rng.random((500, 3)) < 0.7)
    penalty = np.array([1e-3, 0.1, 100.0])
    w_db = dense.fitted(axes, sign.astype(np.float32), penalty, np.zeros((21, 3), np.float32))
    for b, (C, w) in enumerate(zip(penalty, w_db.T, strict=True)):
        there, z = sign[:, b] != 0, axes.z_md.astype(float)
        model = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(z[there, :-1], sign[there, b])
        mine, least = (
            np.logaddexp(0, -sign[there, b] * (z[there] @ at)).sum() + (at[:-1] ** 2).sum() / 2 / C
            for at in (w, np.r_[model.coef_[0], model.intercept_])
        )
        assert least * (1 - 1e-6) <= mine <= least * 1.005
