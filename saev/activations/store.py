"""A store on the disk, and what it gives out."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from saev.activations.origin import agree
from saev.activations.reader import Reader
from saev.activations.tokens import Tokens
from saev.backbones.backbone import Backbone
from saev.data.preprocess import Preprocess
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.statistics import spread_over_classes


class Store(Reader):
    """The recorded activations of one split of a data set under one backbone, complete, read-only.

    Attributes and plain arrays are those of `Reader`; the layout is described in saev/activations/schema.py.
    """

    def tokens(self, layer: int, kinds: Sequence[str] = ("patch",)) -> Tokens:
        """The tokens of `kinds` after block `layer`; -1 is the backbone's last block.

        Raises:
            SaevError: a layer or a kind that is not recorded.
        """
        if isinstance(kinds, str) or not kinds or set(kinds) - set(self.spans):
            raise SaevError(f"{self.path}: tokens must name some of {list(self.spans)}, got {kinds!r}")
        return Tokens(self, self.layer(layer), tuple(kind for kind in self.spans if kind in kinds))

    def residual(self, layer: int, images: np.ndarray) -> np.ndarray:
        """Every token of the backbone for `images` (b,), (b, T, d): what `Backbone.suffix` continues from."""
        expected = tuple(self.attrs["backbone_tokens"])
        if absent := [kind for kind in expected if kind not in self.spans]:
            raise SaevError(
                f"{self.path}: the model cannot continue from it without the {absent} tokens; "
                "record it with tokens: null"
            )
        tokens = self.tokens(layer, expected)
        return tokens.at(np.asarray(images)[:, None], np.arange(tokens.per_image))

    def check_backbone(self, backbone: Backbone) -> None:
        """Raise SaevError unless this backbone, seeing images in this way, recorded the store."""
        here = self.origin(self.layers[-1], tuple(self.spans))
        asked = here._replace(
            backbone=backbone.name, weights=backbone.weights_hash(), geometry=backbone.geometry
        )
        agree(asked, here, "the backbone", str(self.path))

    @property
    def preprocess(self) -> Preprocess:
        """How an image became the input: what the model saw of it."""
        told = self.attrs["preprocess"]
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
        return Preprocess(**options)

    @cached_property
    def labelled(self) -> Literal["patches", "images"] | None:
        """What the labels are of: patches, where masks say what each shows; else images, if any is known."""
        of_patch, of_image = self.patch_labels(), self.image_labels()
        if of_patch.size and (of_patch != of_image[:, None]).any():
            return "patches"
        return "images" if (of_image != IGNORE).any() else None

    def drawn(self, n: int, seed: int) -> np.ndarray:
        """(at most n,) images that are present, drawn by seed, spread over the classes of the images."""
        present = np.flatnonzero(self.present)
        return present[spread_over_classes(self.image_labels()[present], n, seed)]

    def summary(self) -> dict:
        """What is in it, for records."""
        known = self.patch_labels() != IGNORE
        return {
            "images": self.n_images,
            "missing": len(self.attrs["missing"]),
            "labelled": self.labelled,
            "labelled_patches": float(known.mean()) if known.size else 0.0,
            "classes": len(self.classes),
            "layers": self.attrs["stats"],
        }
