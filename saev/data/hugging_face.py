"""Any image data set of the Hugging Face hub, or one saved to disk."""

from collections.abc import Sequence
from pathlib import Path

from saev.data.decode import CorruptImage, decode, decode_mask
from saev.data.sample import IGNORE, Sample
from saev.errors import SaevError
from saev.files import fingerprint


class HuggingFace:
    """One split of a `datasets` data set (install the extra `hf`).

    Args:
        path: hub id, or a directory written by `save_to_disk`.
        split: its name for the split.
        image: column with the images.
        label: column with the class (a ClassLabel, integers or strings); null for none.
        pixel_labels: column with masks of the same classes; null: every pixel carries the image's class.
        classes: names of the classes; null: those of the label column.
        config: the hub data set's configuration, if it has several.
        revision: the hub data set's commit or tag.

    Raises:
        SaevError: no such data set, split or column.
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
        rows = _load(path, split, config, revision)
        columns = {"image": image, "label": label, "pixel_labels": pixel_labels}
        for key, column in columns.items():
            if column is not None and column not in rows.column_names:
                raise SaevError(f"{path}: no column {column!r} (option {key}); it has {rows.column_names}")
        self.path, self.split, self.columns = path, split, columns
        self.fingerprint = fingerprint(["hugging_face", 1, rows._fingerprint, columns, classes])
        self.classes, self._index = _classes(rows, label)
        if classes is not None:
            self.classes = tuple(classes)
        if pixel_labels is not None and not self.classes:
            raise SaevError(
                f"{path}: masks without a label column need the names of their classes (option classes)"
            )
        # Images as bytes: decoded here, broken ones are one kind of error and the row is known.
        from datasets import Image

        for column in (image, pixel_labels):
            if column is not None and not isinstance(rows.features[column], Image):
                raise SaevError(f"{path}: column {column!r} holds {rows.features[column]}; expected images")
            rows = rows if column is None else rows.cast_column(column, Image(decode=False))
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, i: int) -> str:
        return f"{self.path}[{self.split}][{i}]"

    def __getitem__(self, i: int) -> Sample:
        row = self.rows[i]
        image = decode(self._bytes(row, "image", i), self.name(i))
        label = (
            IGNORE if self.columns["label"] is None else self._index.get(row[self.columns["label"]], IGNORE)
        )
        if self.columns["pixel_labels"] is None:
            return Sample(image, label)
        mask = decode_mask(
            self._bytes(row, "pixel_labels", i), self.name(i), image.shape[:2], len(self.classes)
        )
        return Sample(image, label, mask)

    def _bytes(self, row: dict, key: str, i: int) -> bytes | str:
        cell = row[self.columns[key]]
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise CorruptImage(f"{self.name(i)}: column {self.columns[key]!r} is empty")
        return cell["path"] if cell["bytes"] is None else cell["bytes"]


def _load(path: str, split: str, config: str | None, revision: str | None):
    try:
        import datasets
    except ImportError:
        raise SaevError(
            "data: the package datasets is missing; install it with: pip install datasets"
        ) from None
    try:
        if not Path(path).is_dir():
            return datasets.load_dataset(path, config, split=split, revision=revision)
        saved = datasets.load_from_disk(path)
    except Exception as error:  # the hub, the network, the cache and the builder each raise their own
        raise SaevError(f"{path}: cannot be loaded ({str(error).splitlines()[0]})") from None
    if isinstance(saved, datasets.Dataset):
        if str(saved.split) != split:
            raise SaevError(
                f"{path}: holds the one split {str(saved.split)!r}, not {split!r}; save a DatasetDict for several"
            )
        return saved
    if split not in saved:
        raise SaevError(f"{path}: no split {split!r}; it has {sorted(saved)}")
    return saved[split]


def _classes(rows, label: str | None) -> tuple[tuple[str, ...], dict]:
    """Names of the classes, and the index of every value of the label column."""
    if label is None:
        return (), {}
    feature = rows.features[label]
    names = getattr(feature, "names", None)
    if names is not None:
        return tuple(names), {i: i for i in range(len(names))}
    if getattr(feature, "dtype", "").removeprefix("u") not in (
        "string",
        "large_string",
        "int8",
        "int16",
        "int32",
        "int64",
    ):
        raise SaevError(
            f"data: label column {label!r} holds {feature}; expected a ClassLabel, integers or strings"
        )
    values = sorted(value for value in rows.unique(label) if value is not None)
    return tuple(map(str, values)), {value: i for i, value in enumerate(values)}
