"""Any image data set of the Hugging Face hub, or one saved to disk."""

from collections.abc import Sequence
from pathlib import Path

from saev.data.decode import CorruptImage, decode, decode_with_mask
from saev.data.numbering import checked_names, names_of_integers, number_integers, number_strings, renamed
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError, first_line
from saev.files import fingerprint


class HuggingFace:
    """One split of a `datasets` data set (install the extra `hf`).

    A label is the index of its class: an integer is that index, a string is looked up in `classes`, and -1 or
    null is no label. Without `classes` the values of all splits together give the names: strings in sorted
    order, integers only if they are 0, 1, 2, ... without a gap. The values of masks are indices too.

    Args:
        path: hub id, a directory written by `save_to_disk`, or a snapshot of parquet files.
        split: its name for the split.
        image: column with the images.
        label: column with the class (a ClassLabel, integers or strings); null for none.
        pixel_labels: column with masks of the same classes; null: every pixel carries the image's class.
        classes: names of the classes; null: those of the label column.
        config: the hub data set's configuration, if it has several.
        revision: the hub data set's commit or tag.

    Raises:
        SaevError: no such data set, split or column, a label is no class, or nothing says which classes the
            labels or masks mean.
    """

    def __init__(
        self,
        *,
        path: str,
        split: str,
        image: str = "image",
        label: str | None = "label",
        pixel_labels: str | None = None,
        classes: Sequence[str] | None = None,
        config: str | None = None,
        revision: str | None = None,
    ):
        splits = _Splits(path, config, revision)
        rows = splits.load(split)
        columns = {"image": image, "label": label, "pixel_labels": pixel_labels}
        for key, column in columns.items():
            if column is not None and column not in rows.column_names:
                raise SaevError(f"{path}: no column {column!r} (option {key}); it has {rows.column_names}")
        self.path, self.split, self.columns = path, split, columns
        names = None if classes is None else checked_names(classes)
        if label is not None:
            self.classes, self._index = _number(splits, rows, label, names)
        else:
            self.classes, self._index = () if names is None or pixel_labels is None else names, {}
        if pixel_labels is not None and names is None and not _has_names(rows, label):
            raise SaevError(f"{path}: masks need the names of their classes in order (option classes)")
        self.fingerprint = fingerprint(["hugging_face", 2, rows._fingerprint, columns, self.classes])
        self.rows = _undecoded(rows, path, [image] if pixel_labels is None else [image, pixel_labels])

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, i: int) -> str:
        return f"{self.path}[{self.split}][{i}]"

    def __getitem__(self, i: int) -> Sample:
        row, label = self.rows[i], self.columns["label"]
        image, index = self._bytes(row, "image", i), IGNORE if label is None else self._index[row[label]]
        if self.columns["pixel_labels"] is None:
            return Sample(decode(image, self.name(i)), index)
        names = self.name(i), f"{self.name(i)}[{self.columns['pixel_labels']}]"
        pixels, pixel_labels = decode_with_mask(
            image, self._bytes(row, "pixel_labels", i), len(self.classes), names
        )
        return Sample(pixels, index, pixel_labels)

    def _bytes(self, row: dict, key: str, i: int) -> bytes | str:
        cell = row[self.columns[key]]
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise CorruptImage(f"{self.name(i)}: column {self.columns[key]!r} is empty")
        return cell["path"] if cell["bytes"] is None else cell["bytes"]


class _Splits:
    """Where the rows come from, which are of the type `datasets.Dataset`."""

    def __init__(self, path: str, config: str | None, revision: str | None):
        self.path, self.options = path, {"name": config, "revision": revision}

    def load(self, split: str):
        if not self._was_saved:
            return self._call("load_dataset", split=split, **self.options)
        saved = self._call("load_from_disk")
        if not isinstance(saved, dict):
            if str(saved.split) != split:
                raise SaevError(
                    f"{self.path}: holds the one split {str(saved.split)!r}, not {split!r}; "
                    "save a DatasetDict for several"
                )
            return saved
        if split not in saved:
            raise SaevError(f"{self.path}: no split {split!r}; it has {sorted(saved)}")
        return saved[split]

    def load_all(self) -> list:
        everything = (
            self._call("load_from_disk") if self._was_saved else self._call("load_dataset", **self.options)
        )
        return list(everything.values()) if isinstance(everything, dict) else [everything]

    @property
    def _was_saved(self) -> bool:
        """Whether it is a directory by save_to_disk, rather than a hub id or a snapshot of parquet files."""
        directory = Path(self.path)
        return directory.is_dir() and next(directory.rglob("*.parquet"), None) is None

    def _call(self, function: str, **options: object):
        try:
            import datasets
        except ImportError:
            raise SaevError(
                "data: the package datasets is missing; install it with: pip install datasets"
            ) from None
        try:
            return getattr(datasets, function)(self.path, **options)
        except Exception as error:  # the hub, the network, the cache and the builder each raise their own
            raise SaevError(f"{self.path}: cannot be loaded ({first_line(error)})") from None


def _number(splits: _Splits, rows, label: str, names: tuple[str, ...] | None) -> tuple[tuple[str, ...], dict]:
    """Names of the classes, and the index of every value of the label column."""
    where, feature = f"{splits.path}: label column {label!r}", rows.features[label]

    def everywhere() -> set:
        return {
            value for part in splits.load_all() if label in part.column_names for value in part.unique(label)
        }

    dtype = str(getattr(feature, "dtype", ""))
    if _has_names(rows, label):
        own = tuple(feature.names)
        names = own if names is None else renamed(own, names, where)
    elif dtype in ("string", "large_string"):
        names = names or tuple(sorted(everywhere() - {None}))
        return names, number_strings(rows.unique(label), names, where)
    elif dtype.removeprefix("u") in ("int8", "int16", "int32", "int64"):
        names = names or names_of_integers(everywhere, where)
    else:
        raise SaevError(f"{where} holds {feature}; expected a ClassLabel, integers or strings")
    return names, number_integers(rows.unique(label), names, where)


def _has_names(rows, label: str | None) -> bool:
    return label is not None and hasattr(rows.features[label], "names")


def _undecoded(rows, path: str, columns: list[str]):
    """With images as bytes: decoded here, broken ones are one kind of error and the row is known."""
    from datasets import Image

    for column in columns:
        if not isinstance(rows.features[column], Image):
            raise SaevError(f"{path}: column {column!r} holds {rows.features[column]}; expected images")
        rows = rows.cast_column(column, Image(decode=False))
    return rows
