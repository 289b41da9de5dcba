"""One cell of a study on the bench: images are opened once, looked at, and edited many times.

bench = Bench(...)                                     `pipeline.lab.opened` makes one of a finished cell
subject = bench.subject("12")
strongest(bench, subject, patches)                     saev.app.looking
answer(bench, subject, Change(...))                    saev.app.changing
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from saev.activations import Tokens
from saev.app.addresses import Address, read_address
from saev.app.kept import Cache, Uploads
from saev.app.uploads import decode_upload
from saev.backbones.backbone import Backbone
from saev.data import ImageDataset, Mosaic
from saev.data.attributes import ATTRIBUTES
from saev.data.mosaic import Scene
from saev.errors import SaevError
from saev.features import Codes, Profile, after_layer, of_kinds
from saev.machine import Machine
from saev.sae import SAE
from saev.tasks import Continuation, Task

SUBJECTS, PICTURES = 32, 192
"""How many images are kept open (1 MB each for a ViT-B at 224 px), and how many pictures."""


@dataclass(frozen=True)
class Subject:
    """An image on the bench."""

    address: str
    codes: scipy.sparse.csr_array
    """(t, s) of the tokens that the SAE reads."""


@dataclass(frozen=True)
class Asked(Subject):
    """An image that the model is asked about, where there is something to ask and to edit."""

    model: Continuation
    """From the layer on, at this one image."""
    before_uc: Tensor
    """Its logits, unedited."""
    truth_u: np.ndarray | None
    """The true class of each unit, IGNORE where unknown; None of an image that nobody has labelled."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A cell, opened: everything that a request needs, without a server."""

    name: str
    sae: SAE
    backbone: Backbone
    tokens: Tokens
    """Those that the SAE reads, of the validation split."""
    profile: Profile
    """Of the latents, on the training split."""
    val: Codes
    task: Task | None
    images: ImageDataset
    """Of the validation split."""
    machine: Machine
    evidence: tuple[dict, ...] = ()
    """What the probe stage says of latents: records with a latent, a name and its scores."""
    uploads: Uploads = field(default_factory=Uploads)
    _subjects: Cache[Subject] = field(default_factory=lambda: Cache(SUBJECTS))
    _pictures: Cache[np.ndarray] = field(default_factory=lambda: Cache(PICTURES))

    @property
    def n_patches(self) -> int:
        rows, columns = self.backbone.grid
        return rows * columns

    @property
    def unable(self) -> str | None:
        """Why nothing can be edited here, if so."""
        if self.task is None:
            return "the data have no labels of two classes, so that the model was asked nothing"
        if not self.tokens.of_model:
            return "the SAE reads mean patch tokens, which the model has no such token of to edit"
        return None

    @cached_property
    def row_of_patch(self) -> np.ndarray:
        """(patches,) where each patch is among the tokens that the SAE reads; -1 if it does not read them."""
        rows = np.full(self.n_patches, -1)
        if "patch" in self.tokens.kinds:
            first, last = self.tokens.store.spans["patch"]
            here = (first <= self.tokens.positions) & (self.tokens.positions < last)
            rows[self.tokens.positions[here] - first] = np.flatnonzero(here)
        return rows

    @cached_property
    def claims(self) -> dict[int, list[dict]]:
        """Of each latent that probing chose for something its records, the best F1 first."""
        found: dict[int, list[dict]] = {}
        for row in sorted(self.evidence, key=lambda row: -row["f1"]):
            found.setdefault(row["latent"], []).append(row)
        return found

    @cached_property
    def _truth_iu(self) -> np.ndarray:
        """(images, u) the true classes; of no unit where the model is asked nothing."""
        if self.task is None:
            return np.zeros((self.tokens.n_images, 0), int)
        return self.task.truth(self.tokens.store, np.arange(self.tokens.n_images)).numpy()

    def check_latent(self, latent: int) -> None:
        """Raise SaevError if the SAE has no such latent."""
        if not 0 <= latent < self.sae.d_sae:
            raise SaevError(f"latent must be in [0, {self.sae.d_sae - 1}], got {latent}")

    def pixels(self, address: str) -> np.ndarray:
        """(h, w, 3) uint8 of an image as the model sees it.

        Raises:
            SaevError: there is none of this address, or it cannot be decoded.
        """
        return self._pictures.get(address, lambda: self._pixels(read_address(address)))

    def _pixels(self, of: Address) -> np.ndarray:
        crop = self.backbone.preprocess.crop
        if of.upload is not None:
            return crop(decode_upload(self.uploads.get(of.upload)))
        self._check_image(of.image)
        if of.attribute is not None:
            return crop(self.scene(of).render().image)
        return crop(self.images[of.image].image)

    def _check_image(self, image: int) -> None:
        if not 0 <= image < self.tokens.n_images:
            raise SaevError(f"image must be in [0, {self.tokens.n_images - 1}], got {image}")
        if not self.tokens.store.present[image]:
            raise SaevError(f"image {image} could not be decoded when it was recorded; choose another")

    def scene(self, of: Address) -> Scene:
        """What a scene of the embedded data is made of, toggled if the address says so.

        Raises:
            SaevError: the images are no such scenes, or there is no such region or attribute.
        """
        if not isinstance(self.images, Mosaic) or of.upload is not None:
            raise SaevError("only scenes of the embedded data can be made anew without an attribute")
        self._check_image(of.image)
        scene = self.images.scene(of.image)
        if of.region is None or of.attribute is None:
            return scene
        if of.region >= len(scene.regions) or of.attribute not in ATTRIBUTES:
            there = f"the scene has regions 0 to {len(scene.regions) - 1} and {', '.join(ATTRIBUTES)}"
            raise SaevError(f"no attribute {of.attribute!r} of region {of.region}: {there}")
        return scene.toggled(of.region, of.attribute)

    def subject(self, address: str) -> Subject:
        """The image, opened: its codes, and what the model says of it.

        Of a study's image both are continued from what was recorded, as in the experiments; of any other from
        its pixels.

        Raises:
            SaevError: as `pixels`.
        """
        return self._subjects.get(address, lambda: self._open(address, read_address(address)))

    def asked(self, address: str) -> Asked:
        """The same, and what the model is asked of it. Raises SaevError where nothing can be edited, too."""
        subject = self.subject(address)
        if not isinstance(subject, Asked):
            raise SaevError(f"nothing can be edited here: {self.unable}")
        return subject

    def _open(self, address: str, of: Address) -> Subject:
        store, layer, recorded = self.tokens.store, self.tokens.layer, of == Address(of.image)
        if recorded:
            self._check_image(of.image)
        if recorded and set(store.attrs["backbone_tokens"]) <= set(store.spans):
            x_btd = torch.from_numpy(store.residual(layer, np.array([of.image]))).float()
        else:
            x_btd = after_layer(self.backbone, layer, self.pixels(address)[None], self.machine)
        if recorded:
            first = of.image * self.val.per_image
            codes = self.val.csr[first : first + self.val.per_image]
        else:
            with torch.inference_mode():
                f_ts = self.sae.encode(of_kinds(x_btd, self.backbone, self.tokens.kinds)[0])
            codes = scipy.sparse.csr_array(f_ts.numpy())
        if self.task is None or self.unable:
            return Subject(address, codes)
        model = Continuation(self.backbone, self.task, layer, x_btd, self.machine)
        truth_u = self._truth_iu[of.image] if recorded else None
        return Asked(address, codes, model, model.logits()[0], truth_u)
