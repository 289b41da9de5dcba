"""The latent that stands for each class, and how it compares to latents taken at random."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from saev.features.codes import Split
from saev.probing.f1 import THRESHOLDS, f1_table


@dataclass(frozen=True, kw_only=True)
class Match:
    """One class and the latent chosen for it on the training split."""

    name: str
    latent: int
    threshold: float
    f1_train: float
    """On the split it was chosen on: biased upwards by the choice."""
    f1: float
    """On the validation split, same latent, same threshold."""
    ap: float
    """Average precision of the code as a score, validation split."""
    prevalence: float
    """Share of labelled validation tokens of the class: the AP of a random score."""
    null_f1: float
    """Mean validation F1 of the live latents, each at its best training threshold for the class."""
    null_f1_95: float
    """Their 95th percentile."""
    p: float
    """Share of live latents with at least the chosen one's validation F1, the chosen included."""


def match_classes(train: Split, val: Split, classes: tuple[str, ...]) -> list[Match]:
    """For each class choose (latent, threshold) by training F1 and measure the choice on validation.

    The null needs no sampling: "a live latent taken at random" has as its distribution of
    F1 the F1s of all live latents. Classes absent from either split are left out.
    """
    codes_train, labels_train = train.labelled()
    codes_val, labels_val = val.labelled()
    table_train = f1_table(codes_train, labels_train, len(classes))
    table_val = f1_table(codes_val, labels_val, len(classes))
    live = train.density > 0
    columns = codes_val.tocsc()
    matches = []
    for c, name in enumerate(classes):
        truth = labels_val == c
        if not truth.any() or not (labels_train == c).any():
            continue
        threshold_of = table_train[:, c].argmax(0)  # each latent at its best threshold
        f1_train = np.take_along_axis(table_train[:, c], threshold_of[None], 0)[0]
        f1_val = np.take_along_axis(table_val[:, c], threshold_of[None], 0)[0]
        s = int(f1_train.argmax())
        matches.append(
            Match(
                name=name,
                latent=s,
                threshold=THRESHOLDS[threshold_of[s]],
                f1_train=float(f1_train[s]),
                f1=float(f1_val[s]),
                ap=float(average_precision_score(truth, columns[:, [s]].toarray().ravel())),
                prevalence=float(truth.mean()),
                null_f1=float(f1_val[live].mean()),
                null_f1_95=float(np.quantile(f1_val[live], 0.95)),
                p=float((f1_val[live] >= f1_val[s]).mean()),
            )
        )
    return matches
