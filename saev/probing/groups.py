"""Two groups of images, and what in them may be exchanged if the groups say nothing."""

from collections.abc import Iterator
from functools import cached_property
from math import ceil, comb, prod
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.errors import SaevError

LEVEL = 0.05
"""Groups that can give no such p are refused."""
AT_A_TIME, DENSE = 512, 2**24
"""Exchanges, or latents, in one product: so many, and fewer where this would make so many numbers dense."""


class Parts(NamedTuple):
    """What is compared: a part is the images of one cluster in one group, and counts once."""

    mean_ni: scipy.sparse.csr_array
    """(parts, images) takes the mean over the images of each part."""
    b_n: np.ndarray
    """(parts,) whether it is of the second group."""
    stratum_n: np.ndarray
    """(parts,) from 0."""
    block_n: np.ndarray
    """(parts,) from 0, ascending: labels are compared, and exchanged, within a block."""

    @property
    def z_n(self) -> np.ndarray:
        """(parts,) label less the mean label of the block."""
        return centred(self.b_n[:, None], self.block_n).ravel()

    def steps(self, of: int) -> Iterator[slice]:
        """As many at a time as can be dense."""
        step = min(AT_A_TIME, ceil(DENSE / len(self.b_n)))
        return (slice(start, min(start + step, of)) for start in range(0, of, step))


class Groups:
    """Two groups of images, what else tells them apart, and which images are not independent.

    Each cluster that lies in both groups is a block of two parts, a pair; the other clusters of its stratum
    are one block together. A block with one group only says nothing of their difference and is left out.

    Attributes:
        group_i: (images,) 0, 1, or -1 where the image is of neither.
        stratum_i: (images,) any integers: what is compared with its like only (a site, a sex). If left out,
            all are alike.
        cluster_i: (images,) any integers: the independent thing that the image is of. If left out, each image
            is one.
    """

    def __init__(
        self,
        group_i: np.ndarray,
        stratum_i: np.ndarray | None = None,
        cluster_i: np.ndarray | None = None,
        names: tuple[str, str] = ("a", "b"),
    ):
        n = len(group_i)
        self.group_i, self.names = group_i, names
        self.stratum_i = np.zeros(n, int) if stratum_i is None else stratum_i
        self.cluster_i = np.arange(n) if cluster_i is None else cluster_i
        for name in ("stratum_i", "cluster_i"):
            if (got := len(getattr(self, name))) != n:
                raise SaevError(f"groups: {name} must be of as many images as group_i, {n}, got {got}")
        strange = np.setdiff1d(self.group_i, [-1, 0, 1])
        if len(strange):
            raise SaevError(f"groups: an image is of group 0 or 1, or -1 for neither, got {strange[0]}")
        if self.smallest_p > LEVEL:
            a, b = (f"{count} of {name}" for count, name in zip(self.clusters, self.names, strict=True))
            raise SaevError(
                f"groups: too few clusters, {a} and {b}: their labels can be exchanged in so few ways that p "
                f"is never below {self.smallest_p:.2g}, and {LEVEL} must be possible"
            )

    @cached_property
    def parts(self) -> Parts:
        """What is compared.

        Raises:
            SaevError: no stratum has both groups, or a cluster lies in several strata.
        """
        image = np.flatnonzero(self.group_i >= 0)
        b, stratum, cluster = self.group_i[image], self.stratum_i[image], self.cluster_i[image]
        _, own = _numbered(stratum, cluster)
        _, block = _numbered(stratum, np.where(_has_both(own, b), own, -1))
        used = _has_both(block, b)
        if not used.any():
            raise SaevError(f"groups: no stratum has images of both {' and '.join(self.names)}")
        (block, cluster, b, stratum), part = _numbered(*(of[used] for of in (block, cluster, b, stratum)))
        (of_cluster, _), _ = _numbered(cluster, stratum)
        twice = of_cluster[1:][of_cluster[1:] == of_cluster[:-1]]
        if len(twice):
            lies_in = ", ".join(map(str, np.unique(stratum[cluster == twice[0]])))
            raise SaevError(
                f"groups: cluster {twice[0]} lies in strata {lies_in}, so its labels cannot be exchanged "
                "within one; number clusters anew in each stratum if these are independent things"
            )
        share = 1 / np.bincount(part)[part]
        mean_ni = scipy.sparse.csr_array((share, (part, image[used])), (len(b), len(self.group_i)))
        return Parts(mean_ni, b, *(np.unique(of, return_inverse=True)[1] for of in (stratum, block)))

    @property
    def images(self) -> np.ndarray:
        """(images,) bool: those that are compared."""
        return np.bincount(self.parts.mean_ni.indices, minlength=len(self.group_i)) > 0

    @property
    def clusters(self) -> tuple[int, int]:
        """How many are compared, of each group; a pair counts in both."""
        b = int(self.parts.b_n.sum())
        return len(self.parts.b_n) - b, b

    @property
    def left_out(self) -> dict[int, int]:
        """By stratum, how many images of one group have none of the other to be compared with."""
        out = (self.group_i >= 0) & ~self.images
        strata, counts = np.unique(self.stratum_i[out], return_counts=True)
        return dict(zip(strata.tolist(), counts.tolist(), strict=True))

    @cached_property
    def smallest_p(self) -> float:
        """Of all that the test can give, however large the difference: 1 / (ways to exchange the labels), and
        twice that where every way has a mirror image, which is as far from no difference."""
        size, b = np.bincount(self.parts.block_n), np.bincount(self.parts.block_n, self.parts.b_n).astype(int)
        ways = prod(comb(n, k) for n, k in zip(size.tolist(), b.tolist(), strict=True))
        return (1 + bool((2 * b == size).all())) / ways


def centred(x_na: np.ndarray, of_n: np.ndarray) -> np.ndarray:
    """x less its mean over the parts that `of_n`, from 0, puts together."""
    n = len(of_n)
    member = scipy.sparse.csr_array((np.ones(n), (of_n, np.arange(n))))
    return x_na - ((member @ x_na) / np.bincount(of_n)[:, None])[of_n]


def _numbered(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of keys, (keys, different) in order, and the number of each row's."""
    different, number = np.unique(np.stack(keys), axis=1, return_inverse=True)
    return different, number.ravel()


def _has_both(of_m: np.ndarray, b_m: np.ndarray) -> np.ndarray:
    """(m,) whether both labels, 0 and 1, are among those that `of_m`, from 0, puts together."""
    all_, b = np.bincount(of_m), np.bincount(of_m, b_m)
    return ((b > 0) & (b < all_))[of_m]
