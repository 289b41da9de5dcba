"""Logistic classifiers of many concepts on all features, fitted together."""

from typing import NamedTuple

import numpy as np

from saev.probing.logistic import of_margin
from saev.probing.penalised import Probe, Units, best, constant, cross_entropy, trials

PENALTIES = (1e-3, 3e-2, 1.0)
"""The C that are tried, each from where the one before it ended."""
TOGETHER = 64
"""Concepts: more would ask for more memory, and products with fewer read the features more often."""
CONVERGED = 1e-2
"""A fit is done where the next step promises less than this share of what is left to minimise. (Of a dozen
fits that the embedded study chooses all are then within 0.01 % of the least, and five of classes with the
weakest penalty within 2 %; scikit-learn's at a tol of 1e-3 were within 0.5 % and 15 %, and took longer.)"""
INNER, MOST_STEPS = 6, 100
"""Steps of conjugate gradients within one of Newton's; and how many of his."""


def learned_on_all(x_md: np.ndarray, learn_c: list[Units], seed: int) -> list[list[Probe]]:
    """Of every concept one, on features that are standardised on all units that any concept is learned on."""
    rows = np.unique(np.concatenate([learn.row for learn in learn_c]))
    axes = Axes.of(x_md[rows])
    placed_c = [learn._replace(row=np.searchsorted(rows, learn.row)) for learn in learn_c]
    blocks = [placed_c[i : i + TOGETHER] for i in range(0, len(placed_c), TOGETHER)]
    return [[probe] for block in blocks for probe in _learned(axes, block, seed)]


class Axes(NamedTuple):
    """Standardised features on their principal axes, and a 1 for the intercept. There the Hessian of any
    concept is nearly diagonal, and few steps of conjugate gradients are enough."""

    z_md: np.ndarray
    power_d: np.ndarray
    """Sum of squares of each axis."""
    raw_dd: np.ndarray
    """Of weights on the axes -> of weights on raw features."""
    shift_d: np.ndarray

    @classmethod
    def of(cls, x_md: np.ndarray) -> "Axes":
        shift_d, scale_d = x_md.mean(0), x_md.std(0)
        scale_d = np.where(scale_d > 0, scale_d, 1)
        x_md = (x_md - shift_d) / scale_d
        power_d, axis_dd = np.linalg.eigh(x_md.T @ x_md)
        z_md = np.pad(x_md @ axis_dd, ((0, 0), (0, 1)), constant_values=1)
        return cls(z_md, np.r_[power_d.clip(0), len(x_md)][:, None], axis_dd / scale_d[:, None], shift_d)

    def probe(self, w_d: np.ndarray, penalty: float) -> Probe:
        weights = self.raw_dd @ w_d[:-1]
        return Probe(slice(None), weights, float(w_d[-1] - weights @ self.shift_d), penalty)

    def signs(self, learn_b: list[Units]) -> np.ndarray:
        """(m, b) 1 where a unit shows the concept, -1 where not, 0 where it takes no part."""
        sign_mb = np.zeros((len(self.z_md), len(learn_b)), self.z_md.dtype)
        for b, learn in enumerate(learn_b):
            sign_mb[learn.row, b] = np.where(learn.shown, 1, -1)
        return sign_mb


def _learned(axes: Axes, learn_c: list[Units], seed: int) -> list[Probe]:
    tried = [(c, *pair) for c, learn in enumerate(learn_c) for pair in trials(learn, seed)]
    sign_mb = axes.signs([rest for _, rest, _ in tried])
    losses_cp, w_db = np.zeros((len(learn_c), len(PENALTIES))), _nothing(axes, sign_mb)
    for p, penalty in enumerate(PENALTIES):
        w_db = fitted(axes, sign_mb, np.full(len(tried), penalty), w_db)
        logit_mb = axes.z_md @ w_db
        for b, (c, _, held) in enumerate(tried):
            losses_cp[c, p] += cross_entropy(logit_mb[held.row, b], held.shown)
    chosen_c = np.array([best(loss_p, PENALTIES) for loss_p in losses_cp])
    probes = [
        constant(slice(None), len(axes.shift_d), learn, float(penalty))
        for learn, penalty in zip(learn_c, chosen_c, strict=True)
    ]
    both = [c for c, learn in enumerate(learn_c) if learn.both]
    sign_mb = axes.signs([learn_c[c] for c in both])
    w_db = fitted(axes, sign_mb, chosen_c[both], _nothing(axes, sign_mb))
    for c, w_d in zip(both, w_db.T, strict=True):
        probes[c] = axes.probe(w_d, float(chosen_c[c]))
    return probes


def _nothing(axes: Axes, sign_mb: np.ndarray) -> np.ndarray:
    return np.zeros((axes.z_md.shape[1], sign_mb.shape[1]), axes.z_md.dtype)


def fitted(axes: Axes, sign_mb: np.ndarray, penalty_b: np.ndarray, w_db: np.ndarray) -> np.ndarray:
    """(d, b) from `w_db` to the least cross-entropy + |weights|^2 / 2 C of each column, as scikit-learn's
    LogisticRegression has it: by Newton's method, each step by conjugate gradients, halved if need be."""
    ridge_db = np.tile((1 / penalty_b).astype(w_db.dtype), (len(w_db), 1))
    ridge_db[-1] = 0  # of the intercept
    w_db, left = w_db.copy(), np.arange(len(penalty_b))
    point = _Point.at(axes, sign_mb, ridge_db, w_db)
    for _ in range(MOST_STEPS):
        if not len(left):
            break
        ridge, sign = ridge_db[:, left], sign_mb[:, left]
        gradient = axes.z_md.T @ point.slope_mb + ridge * w_db[:, left]
        step = _step(axes, point.bend_mb, ridge, gradient)
        size_b = np.ones(len(left), w_db.dtype)
        found = _Point.at(axes, sign, ridge, trial := w_db[:, left] - step)
        while (worse := found.loss_b > point.loss_b).any():
            size_b[worse] /= 2
            found = _Point.at(axes, sign, ridge, trial := w_db[:, left] - size_b * step)
        w_db[:, left] = trial
        going = (gradient * step).sum(0) > CONVERGED * found.loss_b
        left, point = left[going], _Point(*(of[..., going] for of in found))
    return w_db


class _Point(NamedTuple):
    """What is minimised, and of each unit's loss the slope and the curvature, by its logit."""

    loss_b: np.ndarray
    slope_mb: np.ndarray
    bend_mb: np.ndarray

    @classmethod
    def at(cls, axes: Axes, sign_mb: np.ndarray, ridge_db: np.ndarray, w_db: np.ndarray) -> "_Point":
        loss, wrong, bend = of_margin(sign_mb * (axes.z_md @ w_db))
        there = sign_mb != 0
        loss_b = (loss * there).sum(0, dtype=float) + (ridge_db * w_db**2).sum(0, dtype=float) / 2
        return cls(loss_b, -wrong * sign_mb, bend * there)


def _step(axes: Axes, bend_mb: np.ndarray, ridge_db: np.ndarray, gradient_db: np.ndarray) -> np.ndarray:
    """Nearly the inverse of the Hessian, z^T bend z + ridge, times the gradient: by conjugate gradients with
    the diagonal that it would have if every unit bent alike."""
    tiny = np.finfo(gradient_db.dtype).tiny
    diagonal_db = axes.power_d * bend_mb.mean(0) + ridge_db + 1e-6
    step, rest = np.zeros_like(gradient_db), gradient_db
    toward = scaled = rest / diagonal_db
    size_b = (rest * scaled).sum(0)
    for _ in range(INNER):
        bent = axes.z_md.T @ (bend_mb * (axes.z_md @ toward)) + ridge_db * toward
        length_b = size_b / np.maximum((toward * bent).sum(0), tiny)
        step, rest = step + length_b * toward, rest - length_b * bent
        scaled = rest / diagonal_db
        before_b, size_b = size_b, (rest * scaled).sum(0)
        toward = scaled + size_b / np.maximum(before_b, tiny) * toward
    return step
