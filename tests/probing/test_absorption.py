"""Absorption in a world whose hierarchy is known: what it must be, and that chance is not taken for it."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import kstest

from saev.errors import SaevError
from saev.probing.absorbed import Probes, absorption, parent_probes
from tests.probing.examples import classes_of, codes_of, concepts_of

P, EACH, D = 4, 4, 96
PARENT_C = np.repeat(np.arange(P), EACH)
C = P * EACH
LOST, NONE = np.arange(C) % EACH == 0, np.zeros(C, bool)
"""One child of each parent, and no child."""


class World:
    """x = amplitude (parent's direction + child's) + noise, of which half the units are training."""

    def __init__(self, seed, parent=1.0, offset=0.0, scale=1.0):
        rng = np.random.default_rng(seed)
        self.rows = rng.normal(size=(P + C, D)) / D**0.5
        self.child_u = rng.permutation(np.repeat(np.arange(C), 40))
        n = len(self.child_u)
        self.amplitude_u = rng.uniform(0.5, 1.5, n)
        shown_ud = parent * self.rows[PARENT_C[self.child_u]] + self.rows[P + self.child_u]
        x = scale * (self.amplitude_u[:, None] * shown_ud + 0.05 * rng.normal(size=(n, D)) + offset)
        centred = x - x[: n // 2].mean(0)
        self.z = centred / np.linalg.norm(centred[: n // 2], axis=1).mean() * D**0.5
        self.train, self.val = slice(0, n // 2), slice(n // 2, n)
        self.asked = classes_of(self.child_u[self.val], C)
        self.probes = parent_probes(self.z[self.train], classes_of(self.child_u[self.train], C), PARENT_C)

    def codes(self, lost, parent=1.0):
        """(dense codes, decoder rows) of a latent of each parent, which is silent on the children that are
        lost, and one of each child, of which those that are lost carry the parent."""
        parents = np.eye(P)[PARENT_C[self.child_u]] * ~lost[self.child_u, None]
        dense = np.concatenate([parent * parents, np.eye(C)[self.child_u]], 1) * self.amplitude_u[:, None]
        rows = self.rows.copy()
        rows[P:][lost] += rows[PARENT_C[lost]]
        return dense, rows

    def random(self, seed, s=100, density=0.1):
        """Codes and rows that know nothing."""
        rng, shape = np.random.default_rng(seed), (len(self.child_u), s)
        dense = np.where(rng.random(shape) < density, rng.exponential(1, shape), 0)
        return dense, rng.normal(size=(s, D)) / D**0.5

    def main(self, dense, k=1):
        """Of each parent the k latents whose means differ most, on training."""
        parents, codes = PARENT_C[self.child_u[self.train]], dense[self.train]
        differ = [codes[parents == p].mean(0) - codes[parents != p].mean(0) for p in range(P)]
        return [np.argsort(-of)[:k] for of in differ]

    def measure(self, dense, rows, probes=None, k=1):
        probes = probes or self.probes
        codes, told = codes_of(dense[self.val]), probes.tell(self.z[self.val], self.asked)
        return absorption(codes, told, rows, probes, self.main(dense, k))


world = cache(World)


@pytest.mark.parametrize("seed", range(3))
def test_parents_that_fire_on_all_children_lose_none(seed):
    found = world(seed).measure(*world(seed).codes(NONE))
    assert found.share.value == 0 and found.share.p == 1
    assert not found.absorbed_c.any() and not found.silent_c.any() and found.told_c.mean() > 0.9


def test_the_children_whose_latents_carry_the_parent_are_absorbed():
    found = [world(seed).measure(*world(seed).codes(LOST)) for seed in range(4)]
    for of in found:
        assert of.share.low < of.share.value < of.share.high < 0.35  # one child of four
        assert of.share.value > 0.18 and of.share.null < 0.06
        np.testing.assert_array_equal(of.silent_c, LOST)
        np.testing.assert_allclose(of.absorbed_c, of.told_c * LOST)  # all that could be
        assert of.share.p <= 0.05


def test_a_child_that_is_lost_but_not_carried_is_silent_and_not_absorbed():
    dense, _ = world(0).codes(LOST)
    found = world(0).measure(dense, world(0).rows)
    assert found.share.value < 0.02
    np.testing.assert_array_equal(found.silent_c, LOST)


def test_codes_that_know_nothing_are_at_the_null():
    found = [world(w).measure(*world(w).random([w, i])).share for w in range(3) for i in range(16)]
    excess = np.array([of.value - of.null for of in found])
    assert abs(excess.mean()) < 3 * excess.std() / 48**0.5
    assert np.mean([of.value for of in found]) > 0.1  # it would be taken for absorption
    p = np.array([of.p for of in found])
    assert kstest(p, "uniform").pvalue > 0.01 and (p <= 0.05).mean() <= 0.05 + 3 * (0.05 * 0.95 / 48) ** 0.5


def test_classes_that_have_nothing_in_common_are_not_above_chance():
    found = [w.measure(*w.codes(NONE, parent=0)).share for w in (World(seed, parent=0) for seed in range(6))]
    assert np.mean([of.value for of in found]) < np.mean([of.null for of in found])
    assert sum(of.p <= 0.05 for of in found) <= 1


def test_probes_that_have_seen_the_child_would_take_them_for_absorbed():
    world = World(0, parent=0)
    z, parent_u = world.z[world.train], PARENT_C[world.child_u[world.train]]
    mine, others = (np.array([z[(parent_u == p) == of].mean(0) for p in range(P)]) for of in (True, False))
    v = (mine - others) / np.linalg.norm(mine - others, axis=1, keepdims=True)
    seen = Probes(PARENT_C, np.tile(v, (C, 1, 1)), np.tile(((mine + others) / 2 * v).sum(1), (C, 1)))
    found = world.measure(*world.codes(NONE, parent=0), seen)
    assert found.share.value > 0.6 and found.share.p < 0.05  # all but the one child whose latent is main


def test_the_scale_of_codes_and_the_mean_and_scale_of_activations_change_nothing():
    moved = World(0, offset=5.0, scale=3.0)
    for made in (lambda w: w.codes(LOST), lambda w: w.random(0)):
        dense, rows = made(world(0))
        found = world(0).measure(dense, rows)
        for other in (world(0).measure(0.1 * dense, rows), moved.measure(dense, rows)):
            assert other.share == pytest.approx(found.share, abs=1e-6)


def by_loops(world, dense, rows, main):
    """(absorbed, told, silent) of each unit of validation, one unit and one latent at a time."""
    z, child_u, dense = world.z[world.val], world.child_u[world.val], dense[world.val]
    answers = []
    for code, x, c in zip(dense, z, child_u, strict=True):
        p = PARENT_C[c]
        v = world.probes.direction_cpd[c, p]
        total = np.mean(
            [sum(f * (w @ v) for f, w in zip(of, rows, strict=True)) for of in dense[child_u == c]]
        )
        gains = [
            f * (w @ v)
            for s, (f, w) in enumerate(zip(code, rows, strict=True))
            if s not in main[p] and w @ v >= 0.1 * np.linalg.norm(w)
        ]
        silent = all(code[s] == 0 for s in main[p])
        told = x @ v > world.probes.threshold_cp[c, p]
        carried = total > 0 and sum(sorted(gains)[-3:]) >= 0.4 * total
        answers.append((silent and told and carried, told, silent))
    return np.array(answers, float)


def test_each_child_is_measured_as_in_loops():
    """Of many latents that each carry a little of a parent."""
    dense, rows = world(1).random(7, s=120, density=0.35)
    parent_s = np.arange(120) % P
    rows += 3 * world(1).rows[parent_s]
    dense *= 1 + 4 * (parent_s == PARENT_C[world(1).child_u][:, None])
    found, child_u = world(1).measure(dense, rows, k=2), world(1).child_u[world(1).val]
    answers = by_loops(world(1), dense, rows, world(1).main(dense, 2))
    for part, of_u in zip(found[1:], answers.T, strict=True):
        np.testing.assert_allclose(part, [of_u[child_u == c].mean() for c in range(C)])
    assert found.share.value == pytest.approx(answers[:, 0].mean()) and 0 < found.share.value < 1


def test_units_without_a_parent_take_no_part_and_too_few_children_are_an_error():
    z, child_u = world(0).z, world(0).child_u
    orphan = np.append(PARENT_C, -1)
    extra = np.where(np.arange(len(child_u)) % 7 == 0, C, child_u)
    extra[::11] = -1
    probes = parent_probes(z, classes_of(extra, C + 1), orphan)
    told = probes.tell(z, classes_of(extra, C + 1))
    np.testing.assert_array_equal(told.child_u, np.where(extra == C, -1, extra))
    assert not told.says_up[told.child_u < 0].any() and told.says_up[told.child_u >= 0].any()
    nothing = probes.tell(z, concepts_of(np.zeros((len(z), C + 1))))
    found = absorption(codes_of(np.ones((len(z), 5))), nothing, np.ones((5, D)), probes, [[0]] * P)
    assert found.share.value is None and np.isnan(found.absorbed_c).all()
    with pytest.raises(SaevError, match=r"training shows \[4, 4, 4, 3, 1\] children: absorption needs"):
        parent_probes(z, classes_of(child_u, C), np.append(PARENT_C[:-1], P))
