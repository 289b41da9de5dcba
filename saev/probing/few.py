"""Logistic classifiers of each concept on the few features that tell most of it."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse

from saev.probing.logistic import of_margin
from saev.probing.penalised import Probe, Units, best, constant, cross_entropy, trials

PENALTIES = (0.01, 1.0, 100.0)
"""The C that are tried."""


def learned_on_few(
    x: scipy.sparse.csc_array, learn_c: list[Units], seed: int, ks: tuple[int, ...]
) -> list[list[Probe]]:
    """Of every concept one for each k. A feature is in units of the largest value that it has."""

    def of(learn: Units) -> list[Probe]:
        losses_kp = np.zeros((len(ks), len(PENALTIES)))
        for rest, held in trials(learn, seed):
            _, scale, x_mk = _few(x, rest, max(ks))
            x_rest, x_held = x_mk[rest.row] / scale, x_mk[held.row] / scale
            for k, loss_p in zip(ks, losses_kp, strict=True):
                path = newton(x_rest[:, :k], rest.shown, PENALTIES)
                loss_p += [cross_entropy(x_held[:, :k] @ w + b, held.shown) for w, b in path]
        order, scale, x_mk = _few(x, learn, max(ks))
        x_mk = x_mk[learn.row] / scale
        probes = []
        for k, loss_p in zip(ks, losses_kp, strict=True):
            penalty = best(loss_p, PENALTIES)
            probe = constant(order[:k], k, learn, penalty)
            if learn.both:
                ((weights, intercept),) = newton(x_mk[:, :k], learn.shown, (penalty,))
                probe = probe._replace(weights=weights / scale[:k], intercept=intercept)
            probes.append(probe)
        return probes

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(of, learn_c))


def _few(x: scipy.sparse.csc_array, learn: Units, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k features that tell most, their largest values, and what they are on all units."""
    order = ranked(x, learn)[:k]
    x_mk = x[:, order].toarray().astype(float)
    scale = x_mk[learn.row].max(0)
    return order, np.where(scale > 0, scale, 1), x_mk


def ranked(x: scipy.sparse.csc_array, learn: Units) -> np.ndarray:
    """Features by the difference of their means where the concept is shown and where not, in units of their
    standard deviation: the order of their correlation with it, and of ANOVA's F. Without that unit, as in
    Gurnee et al., latents with large codes come first whatever they tell."""
    weight = np.zeros((x.shape[0], 2))
    weight[learn.row] = np.stack([learn.shown, ~learn.shown], 1)
    n = np.maximum(weight.sum(0), 1)
    sums, squares = x.T @ weight, (x**2).T @ weight.sum(1)
    variance = squares / n.sum() - (sums.sum(1) / n.sum()) ** 2
    gap, varies = np.abs(sums / n @ [1, -1]), variance > 1e-12 * squares
    effect = np.divide(gap, np.sqrt(np.abs(variance)), out=np.zeros(len(gap)), where=varies)
    return np.argsort(-effect, kind="stable")


def newton(
    x_mk: np.ndarray, shown: np.ndarray, penalties: tuple[float, ...]
) -> list[tuple[np.ndarray, float]]:
    """(weights, intercept) of scikit-learn's LogisticRegression at each C, from where the C before it ended:
    by Newton's method with halved steps, as scikit-learn takes longer to check its input. Units without any
    of the features, which are most, count as two, weighted.

    Args:
        x_mk: not negative.
    """
    lit = x_mk @ np.ones(x_mk.shape[1]) > 0  # any() takes longer than the fit
    dark = [(shown & ~lit).sum(), (~shown & ~lit).sum()]
    x = np.pad(np.concatenate([x_mk[lit], np.zeros((2, x_mk.shape[1]))]), ((0, 0), (1, 0)), constant_values=1)
    sign, weight = np.r_[np.where(shown[lit], 1.0, -1.0), 1.0, -1.0], np.r_[np.ones(lit.sum()), dark]
    at, found = np.zeros(x.shape[1]), []
    for penalty in penalties:
        at = _descended(x, sign, weight, np.r_[0, np.full(x_mk.shape[1], 1 / penalty)], at)
        found.append((at[1:], float(at[0])))
    return found


def _descended(
    x: np.ndarray, sign: np.ndarray, weight: np.ndarray, ridge: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """From `at` to the least weighted cross-entropy + ridge / 2 at^2."""

    def point(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        loss, wrong, bend = of_margin(sign * (x @ at))
        return float(weight @ loss + ridge @ at**2 / 2), weight * wrong * sign, weight * bend

    best, pull, bend = point(at)
    for _ in range(100):
        gradient = ridge * at - pull @ x
        step = np.linalg.solve((x.T * bend) @ x + np.diag(ridge), gradient)
        if gradient @ step <= 1e-8 * best:
            break
        while (found := point(at - step))[0] > best:
            step /= 2
        at, (best, pull, bend) = at - step, found
    return at
