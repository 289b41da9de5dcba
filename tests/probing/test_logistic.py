"""Probes of one latent: scikit-learn's, at every scale, and finite where it has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import expit, log_expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from saev.errors import SaevError
from saev.probing import logistic
from saev.probing.logistic import cross_entropy, logistic_probes, probe_r
from tests.probing.examples import codes_of, concepts_of, random_codes, seeds


def by_sklearn(code_u, shown_u, ridge):
    """(w, b). In units of the largest code, in which the same ridge is scale^2 smaller: raw codes of 1e4
    defeat every solver of scikit-learn."""
    scale = float(code_u.max())
    c = scale**2 / (ridge * len(code_u))
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(code_u[:, None].astype(float) / scale, shown_u)
    return model.coef_[0, 0] / scale, model.intercept_[0]


def minimised(w, b, code_u, shown_u, ridge):
    """The objective, and how far its quadratic model says that it still falls."""
    scale = float(code_u.max())
    design = np.stack([np.ones(len(code_u)), code_u.astype(float) / scale], 1)
    margin = np.where(shown_u, 1, -1) * (design @ [b, w * scale])
    wrong, value = expit(-margin), -log_expit(margin).mean() + ridge / 2 * w**2
    gradient = design.T @ np.where(shown_u, -wrong, wrong) / len(code_u) + [0, ridge * w / scale]
    hessian = (design.T * (wrong * (1 - wrong))) @ design / len(code_u) + np.diag([0, ridge / scale**2])
    return value, gradient @ np.linalg.solve(hessian, gradient) / 2


def check(dense_us, truth_uc, known=None, ridge=1e-6, same=True):
    """Every pair is at the minimum; scikit-learn finds none lower, and the same one unless it stops early."""
    known = np.ones(len(dense_us), bool) if known is None else known
    probes = logistic_probes(codes_of(dense_us, 1), concepts_of(truth_uc, known, per_image=1), ridge)
    assert all(np.isfinite(field).all() for field in probes)
    for c, truth in enumerate(np.asarray(truth_uc).T):
        there = known & (truth >= 0)
        for s, code in enumerate(np.float32(dense_us).T):
            w, b, loss = (field[c, s] for field in probes)
            code_u, shown_u = code[there], truth[there] > 0
            prevalence = shown_u.mean()
            alone = log_loss(shown_u, np.full(len(shown_u), prevalence), labels=[False, True])
            assert loss <= alone + 1e-14
            if not code_u.any():
                assert w == 0 and b == pytest.approx(logit(prevalence)) and loss == pytest.approx(alone)
                continue
            value, to_fall = minimised(w, b, code_u, shown_u, ridge)
            assert to_fall <= 1e-11 * value and loss == pytest.approx(value - ridge / 2 * w**2, rel=1e-7)
            w_sk, b_sk = by_sklearn(code_u, shown_u, ridge)
            assert value <= minimised(w_sk, b_sk, code_u, shown_u, ridge)[0] * (1 + 1e-10)
            if same:
                assert [w * code_u.max(), b] == pytest.approx([w_sk * code_u.max(), b_sk], rel=1e-3, abs=1e-4)
    return probes


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_random_codes_with_unknown_units_have_scikit_learns_probes(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice([1, 0, -1], (60, 3), p=[0.3, 0.5, 0.2])
    check(random_codes(rng, 60, 5), truth, rng.random(60) < 0.9)


unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@unfinished
@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("ridge", [1e-8, 1e-6, 1e-3])
def test_codes_of_any_scale_have_scikit_learns_probes(scale, ridge):
    """Of concepts that follow the code, oppose it, ignore it, and are rare; one latent is never zero, one
    fires once, one is dead."""
    rng = np.random.default_rng(0)
    dense = random_codes(rng, 400, 5)
    dense[:, 1] += 1
    dense[:, 2] = np.arange(400) == 7
    dense[:, 3] = 0
    logits = np.stack([3 * dense[:, 0] - 2, 1 - 2 * dense[:, 1], np.zeros(400), dense[:, 4] - 5], 1)
    truth = rng.random((400, 4)) < expit(logits)
    truth[7, 2:] = True
    check(dense * scale, truth, ridge=ridge, same=scale <= 1)


def test_probes_do_the_same_at_every_scale():
    rng = np.random.default_rng(1)
    dense, truth = random_codes(rng, 200, 4), rng.random((200, 2)) < 0.3
    one, large = (
        logistic_probes(codes_of(dense * scale), concepts_of(truth), 1e-6 * scale**2) for scale in (1, 2**10)
    )
    np.testing.assert_allclose(one.w_cs, large.w_cs * 2**10)
    np.testing.assert_allclose(one.loss_cs, large.loss_cs)


@unfinished
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_separable_concepts_end_at_the_finite_weight_of_the_ridge(scale):
    """Shown where the code is zero, where it is not, and above a threshold."""
    rng = np.random.default_rng(2)
    code = np.where(rng.random(300) < 0.2, 1 + rng.random(300), 0)
    truth = np.stack([code == 0, code > 0, code > 1.5], 1)
    probes = check(code[:, None] * scale, truth, same=False)
    assert (np.sign(probes.w_cs[:, 0]) == [-1, 1, 1]).all()
    if scale >= 1:
        assert probes.loss_cs.max() < 0.01


@unfinished
@pytest.mark.parametrize(("n", "scale", "w", "b", "seed"), [
    (120, 1000, -1.036, -1.566, 3), (128, 300, -0.85, -0.75, 17), (96, 1000, -1.2, 0.25, 42),
])  # fmt: skip
def test_saturated_probes_are_found(n, scale, w, b, seed):
    """Logits in the hundreds, on which undamped steps run away."""
    rng = np.random.default_rng(seed)
    code = np.where(rng.random(n) < 0.5, scale * rng.exponential(size=n), 0)
    truth = rng.random(n) < expit(w * code + b)
    check(code[:, None], truth[:, None], ridge=1e-8, same=False)


def test_one_outlier_does_not_throw_the_others_off():
    rng = np.random.default_rng(3)
    dense = random_codes(rng, 500, 1)
    truth = rng.random((500, 1)) < expit(3 * dense - 2)
    dense[0], truth[0] = 60_000, False
    check(dense, truth)


def test_a_loss_that_is_not_lower_is_never_taken():
    """From anywhere: the minimised falls to the optimum of the better start, so more steps never hurt."""
    rng = np.random.default_rng(4)
    dense, truth = random_codes(rng, 300, 6) ** 4, rng.random((300, 2)) < 0.05
    losses = []
    for steps in (0, 1, 2, 4, 8, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logistic, "MOST_STEPS", steps)
            probes = logistic_probes(codes_of(dense), concepts_of(truth), 1e-12)
        losses.append(probes.loss_cs)
    assert (np.diff(losses, axis=0) <= 1e-11).all() and (losses[0] > losses[-1] + 1e-9).any()


def test_blocks_of_latents_make_no_difference(monkeypatch):
    rng = np.random.default_rng(5)
    dense, truth = random_codes(rng, 200, 9), rng.choice([1, 0, -1], (200, 2))
    dense[:, [0, 5]] = 0
    whole = logistic_probes(codes_of(dense), concepts_of(truth))
    monkeypatch.setattr(logistic, "BLOCK", 50)
    for one, other in zip(whole, logistic_probes(codes_of(dense), concepts_of(truth)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_concepts_with_one_answer_or_none_are_finite():
    truth = np.stack([np.ones(40), np.zeros(40), np.full(40, -1)], 1)
    for dense in (random_codes(np.random.default_rng(6), 40, 3), np.zeros((40, 3))):
        asked = concepts_of(truth)
        probes = logistic_probes(codes_of(dense), asked)
        assert all(np.isfinite(field).all() for field in probes) and not probes.w_cs.any()
        assert (probes.b_cs[0] > 30).all() and (probes.b_cs[1] < -30).all() and not probes.b_cs[2].any()
        assert not probe_r(probes.loss_cs, asked).any()


def test_probe_r_and_the_loss_on_other_units():
    rng = np.random.default_rng(7)
    dense, truth = random_codes(rng, 400, 4), rng.choice([1, 0, -1], (400, 2))
    dense[:, 2] += 2 * (truth[:, 1] > 0)
    train, val = (
        (codes_of(dense[half]), concepts_of(truth[half])) for half in (slice(0, 200), slice(200, 400))
    )
    probes = logistic_probes(*train)
    r_cs = probe_r(probes.loss_cs, train[1])
    assert r_cs.shape == (2, 4) and r_cs[1].argmax() == 2 and r_cs[1, 2] > 0.3 and (r_cs >= 0).all()
    losses = cross_entropy(probes, np.array([1, 2]), *val)
    for c, s in enumerate((1, 2)):
        units, shown = val[1].of(c)
        p = expit(probes.w_cs[c, s] * val[0].column(s)[units] + probes.b_cs[c, s])
        assert losses[c] == pytest.approx(log_loss(shown, p), rel=1e-6)
        entropy = log_loss(shown, np.full(len(shown), shown.mean()))
        assert probe_r(losses, val[1])[c] == pytest.approx(1 - losses[c] / entropy)


def test_a_ridge_of_nothing_is_refused():
    with pytest.raises(SaevError, match="ridge=0 must be > 0"):
        logistic_probes(codes_of(np.ones((8, 1))), concepts_of(np.ones((8, 1))), ridge=0)
