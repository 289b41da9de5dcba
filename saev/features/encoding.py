"""From tokens to their codes, chunk by chunk, in memory or on disk."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import numpy as np
import scipy.sparse
import torch

from saev.activations import Tokens
from saev.arrays import save_arrays
from saev.errors import SaevError
from saev.features.codes import Codes, codes_of
from saev.files import write_by
from saev.machine import track
from saev.sae.model import SAE

SMALLEST, LARGEST = 2**-24, 65504.0
"""Of float16, above 0: a code below the first is stored as it, and fires on disk as it did in the SAE."""

FILES = {r"[^/]+\.safetensors": '"saev"'}
"""By which a folder of codes, one file for each split, is known (saev/outputs.py)."""


class Block(NamedTuple):
    """The codes of some images, in the types of the file."""

    images: np.ndarray
    values: np.ndarray
    latents: np.ndarray
    counts_bt: np.ndarray
    """How many codes each token has."""

    def csr(self, d_sae: int) -> scipy.sparse.csr_array:
        """(tokens of the images, s) float32."""
        offsets = _offsets(self.counts_bt).astype(np.int32)
        arrays = self.values.astype(np.float32), self.latents.astype(np.int32), offsets
        return scipy.sparse.csr_array(arrays, shape=(self.counts_bt.size, d_sae))


def blocks(
    sae: SAE, tokens: Tokens, *, what: str, device: torch.device | str = "cpu", batch_size: int = 4096
) -> Iterator[Block]:
    """The codes of all tokens, a chunk of the store at a time, in the order of the store.

    Args:
        what: name of the SAE in errors.

    Raises:
        SaevError: the SAE was trained on other activations than these, or a code is too large for float16.
    """
    sae.check_tokens(tokens, what)
    sae = sae.to(device)
    index_type = np.uint16 if sae.d_sae <= 2**16 else np.int32
    name = f"features of {tokens.path}"
    for images, x_btd in track(tokens.chunks(), name, tokens.n_images, size=lambda chunk: len(chunk.images)):
        values, latents, counts = [], [], []
        for x_nd in torch.from_numpy(x_btd).reshape(-1, tokens.d).float().split(batch_size):
            codes = sae.codes(x_nd.to(device))
            if len(codes.values) and not codes.values.max() <= LARGEST:
                largest = f"a code of {codes.values.max():.4g} on {tokens.path}"
                raise SaevError(f"{what}: {largest} is beyond float16 (at most {LARGEST:g})")
            values.append(codes.values.clamp(min=SMALLEST).half().cpu().numpy())
            latents.append(codes.latents.cpu().numpy().astype(index_type))
            counts.append(codes.offsets.diff().cpu().numpy())
        counts_bt = np.concatenate(counts).reshape(len(images), -1)
        yield Block(images, np.concatenate(values), np.concatenate(latents), counts_bt)


def encode(sae: SAE, tokens: Tokens, **options) -> Codes:
    """The codes of all tokens, as they would be read from a file.

    Args:
        options: of `blocks`.
    """
    counts, values, latents = _counts(tokens), [], []
    for block in blocks(sae, tokens, **options):
        counts[block.images] = block.counts_bt
        values.append(block.values)
        latents.append(block.latents)
    arrays = {"values": np.concatenate(values), "latents": np.concatenate(latents)}
    return codes_of({**arrays, "offsets": _offsets(counts)}, tokens, sae)


def encode_tokens(
    sae: SAE, tokens: Tokens, path: str | Path, *, seen: Callable[[Block], None] | None = None, **options
) -> None:
    """Write the codes of all tokens as a safetensors file in CSR form: values float16 (relative error 5e-4),
    latents uint16 or int32, offsets int64. Its metadata say whose codes of what they are. However many tokens
    there are, no more than a chunk's codes are in memory, and the number of each token's.

    Args:
        seen: is shown every block.
        options: of `blocks`.
    """
    facts = {
        "d_sae": sae.d_sae,
        "n_images": tokens.n_images,
        "sae": sae.digest(),
        "origin": tokens.origin.as_dict(),
    }

    def save(file: Path) -> None:
        with ExitStack() as stack:
            # Without a name, so that a killed run leaves nothing.
            values, latents = (stack.enter_context(TemporaryFile(dir=file.parent)) for _ in range(2))
            counts, index_type = _counts(tokens), np.uint16
            for block in blocks(sae, tokens, **options):
                counts[block.images] = block.counts_bt
                values.write(block.values.data)
                latents.write(block.latents.data)
                index_type = block.latents.dtype
                if seen:
                    seen(block)
            arrays = {
                "values": _mapped(values, np.float16),
                "latents": _mapped(latents, index_type),
                "offsets": _offsets(counts),
            }
            save_arrays(arrays, facts, file)

    write_by(save, path)


def _mapped(file: BinaryIO, dtype: np.dtype | type) -> np.ndarray:
    """What was written to it, as an array that is read when it is used."""
    file.flush()
    return np.memmap(file, dtype, "r") if file.tell() else np.empty(0, dtype)


def _counts(tokens: Tokens) -> np.ndarray:
    """(i, t) how many codes each token has: 0 where no image is."""
    return np.zeros((tokens.n_images, tokens.per_image), np.int64)


def _offsets(counts_it: np.ndarray) -> np.ndarray:
    """Where the codes of each token begin, and where those of the last end."""
    return np.concatenate([[0], counts_it.cumsum()])
