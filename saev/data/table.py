"""What else is known of images: a table beside them, and the clusters that they are of."""

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from saev.checks import Options
from saev.data.listing import read_lines, stamp
from saev.data.sample import NO_CLUSTER, UNKNOWN, ImageDataset, Regions, Sample
from saev.errors import SaevError
from saev.files import fingerprint

VALUES = {"1": 1, "true": 1, "yes": 1, "0": 0, "false": 0, "no": 0, "": UNKNOWN, "?": UNKNOWN}
"""What a cell of a concept's column may be, in capitals or not."""


@dataclass(frozen=True, kw_only=True)
class Table(Options, section="data"):
    """What a source's images are described by."""

    table: str | None = None
    """A CSV file with a header and a column `image`: the end of an image's path, as much of it as tells it
    from others (`a.jpg`, or `site7/a.jpg`)."""
    concepts: tuple[str, ...] = ()
    """Columns of it that say 1 or 0 (yes, no, true, false; nothing where nobody knows) of each image."""
    cluster: str | int | None = None
    """The independent thing that an image is of (a patient, a slide, a site): a column, or a part of the
    path: -2 is the folder that the image lies in. None: each image is one."""
    covariates: tuple[str, ...] = ()
    """Columns of it that contrasts may ask for: what tells groups of images apart, or must not (a sex, a
    stain)."""

    def __post_init__(self):
        super().__post_init__()
        if self.table is None and self.columns:
            raise SaevError(f"data.table must name the CSV that has {', '.join(self.columns)}, got None")
        if self.table is not None and not self.columns:
            keys = "data.concepts, data.cluster or data.covariates"
            raise SaevError(f"{keys} must name columns of data.table, got none")

    @property
    def columns(self) -> list[str]:
        """All that it must have beside `image`."""
        cluster = [self.cluster] if isinstance(self.cluster, str) else []
        return [*self.concepts, *cluster, *self.covariates]

    def describe(self, images: ImageDataset) -> ImageDataset:
        """The source with what the table says; itself if nothing is asked for."""
        return Tabled(images, self) if self.concepts or self.cluster is not None else images

    def values(self, images: ImageDataset, covariate: str) -> list[str]:
        """What the table says of each image; "" where nothing.

        Raises:
            SaevError: as `Tabled` does, or `covariate` is none.
        """
        if covariate not in self.covariates:
            told = f"there are {', '.join(self.covariates)}" if self.covariates else "there are none"
            raise SaevError(f"data.covariates: {covariate!r} is not among them; {told}")
        return [(row[covariate] or "").strip() for row in _rows(self, _paths(images))]


class Tabled:
    """A source whose images a table describes. One that is described already keeps its concepts, and its
    regions are of the cluster of their image.

    Raises:
        SaevError: the table is missing, lacks a column, or says of an image nothing, too much, or what is no
            value; or both it and the source name concepts.
    """

    def __init__(self, images: ImageDataset, options: Table):
        self.images, self.classes, self.concepts = images, images.classes, options.concepts
        self.described = getattr(images, "described", None) or "images"
        if own := getattr(images, "concepts", ()):
            if options.concepts:
                mine, theirs = (", ".join(names[:5]) for names in (options.concepts, own))
                raise SaevError(f"data.concepts must be left out: the source itself has {theirs}; got {mine}")
            self.concepts = own
        names = _paths(images)
        rows = _rows(options, names)
        self._concepts = np.array(
            [[_value(row, column, options) for column in options.concepts] for row in rows], np.int8
        ).reshape(len(rows), len(options.concepts))
        self.clusters, self._cluster = (), range(len(names))
        if options.cluster is not None:
            of = [_cluster(name, row, options.cluster) for name, row in zip(names, rows, strict=True)]
            self.clusters = tuple(sorted({name for name in of if name is not None}))
            number = {name: i for i, name in enumerate(self.clusters)} | {None: NO_CLUSTER}
            self._cluster = [number[name] for name in of]
        stamped = stamp(options.table) if options.table else None
        self.fingerprint = fingerprint([images.fingerprint, stamped, repr(options)])

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        return self.images.name(i)

    def __getitem__(self, i: int) -> Sample:
        sample, cluster = self.images[i], np.array([self._cluster[i]], np.uint32)
        if sample.regions is None:
            return sample._replace(regions=Regions(self._concepts[[i]], cluster))
        cluster_r = cluster.repeat(len(sample.regions.cluster_r))
        return sample._replace(regions=sample.regions._replace(cluster_r=cluster_r))


def _paths(images: ImageDataset) -> list[PurePosixPath]:
    return [PurePosixPath(Path(images.name(i)).as_posix()) for i in range(len(images))]


def _rows(options: Table, names: list[PurePosixPath]) -> list[dict[str, str]]:
    """The row of every image; an empty one where there is no table."""
    if options.table is None:
        return [{}] * len(names)
    lines = read_lines(options.table, "the table of data.table")
    found = list(csv.DictReader(lines))
    header = next(csv.reader(lines), [])
    for column in ("image", *options.columns):
        if column not in header:
            raise SaevError(f"{options.table}: has no column {column!r}; there are {', '.join(header)}")
    by_name: dict[str, dict[str, str]] = {}
    for row in found:
        if row["image"] in by_name:
            raise SaevError(f"{options.table}: names the image {row['image']!r} twice")
        by_name[row["image"]] = row
    return [_row_of(name, by_name, options.table) for name in names]


def _row_of(name: PurePosixPath, by_name: dict[str, dict[str, str]], table: str) -> dict[str, str]:
    """The one row whose `image` is an end of the path."""
    ends = ("/".join(name.parts[-n:]) for n in range(1, len(name.parts) + 1))
    rows = [by_name[end] for end in ends if end in by_name]
    if len(rows) != 1:
        what = "no row" if not rows else f"{len(rows)} rows ({', '.join(row['image'] for row in rows)})"
        raise SaevError(f"{table}: {what} for the image {name}; its column image must name each once")
    return rows[0]


def _value(row: dict[str, str], column: str, options: Table) -> int:
    text = (row[column] or "").strip()
    if text.lower() not in VALUES:
        raise SaevError(f"{options.table}: {column} of {row['image']} must be 1, 0 or nothing, got {text!r}")
    return VALUES[text.lower()]


def _cluster(name: PurePosixPath, row: dict[str, str], cluster: str | int) -> str | None:
    """The name of the cluster that an image is of; None if none is told."""
    if isinstance(cluster, str):
        return (row[cluster] or "").strip() or None
    if not -len(name.parts) <= cluster < len(name.parts):
        raise SaevError(f"data.cluster must be a part of {name}, which has {len(name.parts)}, got {cluster}")
    return name.parts[cluster]
