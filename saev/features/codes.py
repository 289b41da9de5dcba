"""Sparse codes of a whole split, on disk and in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
import torch

from saev.activations.store import Store
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.machine.progress import track
from saev.sae.model import SAE


@dataclass(frozen=True)
class Split:
    """The codes of every patch token of a store, beside its labels."""

    codes: scipy.sparse.csr_array
    """(n_images * n_patches, s) float32, image by image, row by row of the patch grid."""
    labels: np.ndarray
    """(n_images * n_patches,) uint16, 65535 = ignore."""
    n_patches: int

    @property
    def density(self) -> np.ndarray:
        """(s,) share of tokens on which each latent fires."""
        return np.bincount(self.codes.indices, minlength=self.codes.shape[1]) / self.codes.shape[0]

    @property
    def maximum(self) -> np.ndarray:
        """(s,) largest code of each latent, 0 for dead ones."""
        return self.codes.max(axis=0).toarray().ravel()

    def labelled(self) -> tuple[scipy.sparse.csr_array, np.ndarray]:
        """Codes and labels of the tokens that have a label."""
        known = self.labels != IGNORE
        return self.codes[known], self.labels[known]

    def images(self, latent: int) -> np.ndarray:
        """(n_images, n_patches) codes of one latent."""
        column = np.zeros(self.codes.shape[0], np.float32)
        where = self.codes.indices == latent
        rows = np.searchsorted(self.codes.indptr, np.flatnonzero(where), side="right") - 1
        column[rows] = self.codes.data[where]
        return column.reshape(-1, self.n_patches)


def encode_store(sae: SAE, store: Store, layer: int, path: str | Path, *, batch_size: int = 4096) -> None:
    """Write the codes of all patch tokens of `store` as a safetensors file in CSR form.

    values float16 (relative error 5e-4; max |code| 65504), latents uint16 or int32, offsets int64.
    """
    from safetensors.numpy import save_file

    sae.check_width(store.d, str(store.path))
    values, latents, counts = (
        [],
        [],
        np.zeros((store.n_images, store.tokens(layer).per_image), np.int64),
    )  # 0 where no image is
    index_type = np.uint16 if sae.d_sae <= 2**16 else np.int32
    for images, acts in track(store.tokens(layer).chunks(), "features", store.n_images, size=store.chunk):
        n_active = []
        for x_nd in torch.from_numpy(acts).reshape(-1, store.d).float().split(batch_size):
            codes = sae.codes(x_nd)
            values.append(codes.values.half().numpy())
            latents.append(codes.latents.numpy().astype(index_type))
            n_active.append(codes.offsets.diff().numpy())
        counts[images] = np.concatenate(n_active).reshape(len(images), -1)
    offsets = np.concatenate([[0], counts.cumsum()])
    tensors = {"values": np.concatenate(values), "latents": np.concatenate(latents), "offsets": offsets}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"d_sae": str(sae.d_sae)})


def load_split(path: str | Path, store: Store) -> Split:
    """Read the codes of `store` that `encode_store` wrote. Raises SaevError if they are not that store's."""
    from safetensors import safe_open

    if not Path(path).is_file():
        raise SaevError(f"{path}: no codes there; write them with the features stage")
    with safe_open(path, "np") as file:
        d_sae = int(file.metadata()["d_sae"])
        values, latents, offsets = (file.get_tensor(key) for key in ("values", "latents", "offsets"))
    labels = store.patch_labels().ravel()
    if len(offsets) - 1 != len(labels):
        raise SaevError(
            f"{path}: holds {len(offsets) - 1} tokens, {store.path} has {len(labels)}; run the features stage again"
        )
    shape = (len(labels), d_sae)
    # int32 indices: scipy would otherwise widen both arrays to int64.
    small = offsets.astype(np.int32) if offsets[-1] < 2**31 else offsets
    codes = scipy.sparse.csr_array((values.astype(np.float32), latents.astype(np.int32), small), shape=shape)
    return Split(codes, labels, len(labels) // store.n_images)
