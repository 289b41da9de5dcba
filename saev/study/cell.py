"""One cell of a finished study, opened: an SAE with its model, and what the study knows of its latents."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
import torch

from saev.activations import Tokens
from saev.atlas.fired import Source
from saev.backbones.backbone import Backbone
from saev.checks import check_choice, check_int
from saev.data import ImageDataset
from saev.errors import SaevError
from saev.features import Order, Profile, after_layer, of_kinds, strongest_here
from saev.machine import Machine
from saev.sae import SAE
from saev.study.answer import Answer
from saev.study.explanation import Explanation, Firing
from saev.study.feature import Feature
from saev.study.pixels import Picture, pixels_of
from saev.tasks import Task


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Cell:
    """What `Study` opens. Images may be of any size, shape and mode: the model sees them cropped as it saw
    those of the study."""

    name: str
    sae: SAE
    backbone: Backbone
    tokens: Tokens
    """Those that the SAE was trained on."""
    codes: Source
    """Of these tokens."""
    profile: Profile
    images: ImageDataset
    """That they are of."""
    machine: Machine
    told: dict[int, dict]
    """The records of single latents (saev.study.evidence)."""
    tasks: dict[str, Task]
    """What the study's heads answer, as far as they are there: `classes`, one of each unit; `concepts`."""

    def __repr__(self) -> str:
        chosen = f"{len(self.told)} of them looked at by later stages"
        heads = f"heads: {', '.join(self.tasks) or 'none'}"
        return f"Cell({self.name}: {self.sae.d_sae:,} latents, {chosen}; {heads}; {self.backbone.name})"

    @property
    def layer(self) -> int:
        """The 0-based block after which the SAE reads."""
        return self.tokens.layer

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of an image's patches."""
        return self.backbone.grid

    def seen(self, image: Picture) -> np.ndarray:
        """(h, w, 3) uint8: what the model sees of an image. Raises SaevError if it cannot be decoded."""
        return self.backbone.preprocess.crop(pixels_of(image))

    def encode(self, image: Picture) -> scipy.sparse.csr_array:
        """(t, s) the codes of the tokens that the SAE reads, of an image that nobody has recorded."""
        x_btd = after_layer(self.backbone, self.layer, self.seen(image)[None], self.machine)
        sae = self.sae.to(self.machine.device)
        with torch.inference_mode():
            x_td = of_kinds(x_btd, self.backbone, self.tokens.kinds)[0].to(self.machine.device)
            return scipy.sparse.csr_array(sae.encode(x_td).cpu().numpy())

    def explain(
        self, image: Picture, *, where: np.ndarray | None = None, by: Order = "strength", k: int = 6
    ) -> Explanation:
        """The at most k latents that fire most on an image, or on some of its patches.

        Args:
            where: (rows, columns) bool, of which patches.
            by: the mean code there (`strength`), or that times -log of how often the latent fires in training
                (`rarity`).

        Raises:
            SaevError: the image cannot be decoded; `where` is of another grid, or of no patch that is read.
        """
        check_choice("by", by, ("strength", "rarity"))
        check_int("k", k, low=1, high=self.sae.d_sae)
        rows, csr = self._rows(where), self.encode(image)
        best, mean_s = strongest_here(csr[rows], self.profile.density_s, by, k)
        firings = []
        for s in best.tolist():
            code_t = csr[:, [s]].toarray().ravel()
            share = float((code_t[rows] > 0).mean())
            firings.append(Firing(self.feature(s), float(mean_s[s]), share, self.map_of(code_t)))
        return Explanation(self.seen(image), csr, firings)

    def feature(self, latent: int) -> Feature:
        """A latent. Raises SaevError if there is none such."""
        latent = latent.item() if isinstance(latent, np.integer) else latent
        check_int("latent", latent, low=0, high=self.sae.d_sae - 1)
        return Feature(self, latent)

    def find(self, words: str, k: int = 6) -> list[Feature]:
        """The latents that the probe chose for concepts whose names hold these words, the best F1 first; not
        all beat chance, which their cards say."""
        wanted, best = words.lower().split(), {}
        for latent, told in self.told.items():
            for row in told.get("concepts", ()):
                if all(word in row["name"].lower() for word in wanted):
                    best[latent] = max(row["f1"], best.get(latent, 0.0))
        return [Feature(self, s) for s in sorted(best, key=lambda s: -best[s])[:k]]

    def ask(self, image: Picture, of: str = "concepts") -> Answer:
        """What the study's head reads in an image after all blocks; within `saev.edited`, after the edit.

        Raises:
            SaevError: the study has no such head.
        """
        if of not in self.tasks:
            raise SaevError(f"the study has heads of {', '.join(self.tasks) or 'nothing'}, got {of!r}")
        task, device = self.tasks[of].to(self.machine.device), self.machine.device
        pixels = torch.tensor(self.seen(image)[None]).to(device)
        with torch.inference_mode():
            with self.machine.autocast():
                final_btd = self.backbone.to(device)(self.backbone.preprocess.normalise(pixels))
            logits_uc = task.logits(self.backbone, final_btd.float())[0].cpu().numpy()
        return Answer(task.classes, logits_uc, self.grid if task.decides_patches else ())

    def map_of(self, code_t: np.ndarray) -> np.ndarray:
        """(rows, columns) of codes (t,) of an image's tokens; (1, 1), the largest, of an SAE that reads no
        patches."""
        return code_t[self._patches].reshape(self.grid) if len(self._patches) else code_t.max().reshape(1, 1)

    @cached_property
    def _patches(self) -> np.ndarray:
        """Which of the tokens that the SAE reads are patches."""
        if "patch" not in self.tokens.kinds:
            return np.empty(0, int)
        first, last = self.tokens.store.spans["patch"]
        return np.flatnonzero((first <= self.tokens.positions) & (self.tokens.positions < last))

    def _rows(self, where: np.ndarray | None) -> np.ndarray:
        """Of the tokens that the SAE reads those that are asked for."""
        if where is None:
            return np.arange(self.tokens.per_image)
        where = np.asarray(where)
        if where.dtype != bool or where.shape != self.grid:
            asked = f"a bool mask of {self.grid[0]} x {self.grid[1]} patches"
            raise SaevError(f"where must be {asked}, got {where.dtype} of shape {where.shape}")
        if not where.any() or not len(self._patches):
            raise SaevError("where must hold a patch that the SAE reads")
        return self._patches[where.ravel()]
