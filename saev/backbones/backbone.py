"""The cut: a ViT as prefix (images -> activations) and suffix (activations -> outputs)."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from saev.checks import between
from saev.data.preprocess import Preprocess
from saev.errors import SaevError

if TYPE_CHECKING:  # a module that only open_clip's models need
    from saev.backbones.texts import Words


class Backbone(nn.Module, ABC):
    """A frozen vision transformer, cut after the residual stream of any block.

    With h_0 = embed(x) and h_{l+1} = block_l(h_l), `prefix` gives h_{l+1} ("layer l") and
    `suffix` continues from it exactly as the model would:

        suffix(prefix(x, [l])[0], l) == norm(h_L)        final tokens, (b, t, d)
        output(norm(h_L))            == model(x)         what the whole model returns, (b, o)

    A plain ViT is taken for granted: every image has the same tokens, which no block adds to or drops,
    first the special ones (cls, then registers), then the patches, row by row. The constructor embeds
    one black image and refuses a model that makes another number of them.

    A further family is one module beside this one and one file of conf/backbone: a subclass that says
    how its library spells `blocks`, `embed`, `norm` and `output` (and `block`, where a block takes more
    than the tokens), and a function that builds it, which the file's `_target_` names as
    `saev.backbones.<module>.<function>`; its other keys, but for `name`, are the function's options.

    Args:
        model: the library's model or its image tower; `embed` may use nothing else of a subclass.
        name: the model's name with its library, for records.
        preprocess: how images become input tensors.
        patch: (height, width) of a patch in pixels.
        n_cls, n_register: how many tokens of these kinds precede the patches.

    Attributes:
        grid: (rows, columns) of patch tokens.
        tokens: the range of each kind of token along the token axis: cls, register, patch.
        d: width of the residual stream.
        texts: puts texts in the space of `output`; None of a model that reads none.

    Raises:
        SaevError: the input is not a whole number of patches, or the model is no plain ViT.
    """

    texts: "Callable[[Sequence[str]], Words] | None" = None

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        preprocess: Preprocess,
        patch: tuple[int, int],
        n_cls: int,
        n_register: int = 0,
    ):
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.name, self.preprocess = name, preprocess
        self._hash: str | None = None
        self.grid = _grid(name, preprocess.size, patch)
        counts = {"cls": n_cls, "register": n_register, "patch": self.grid[0] * self.grid[1]}
        ends = dict(zip(counts, accumulate(counts.values()), strict=True))
        self.tokens = {kind: (ends[kind] - n, ends[kind]) for kind, n in counts.items() if n}
        (height, width), device = preprocess.size, next(model.parameters()).device
        with torch.no_grad():
            _, n_made, self.d = self.embed(torch.zeros(1, 3, height, width, device=device)).shape
        if n_made != self.n_tokens:
            raise SaevError(
                f"{name} is no plain vision transformer: it makes {n_made} tokens of {height} x {width} px, "
                f"not the {self.n_tokens} of {patch[0]} x {patch[1]} px patches"
            )

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The transformer blocks in order."""

    @property
    def geometry(self) -> str:
        """All but the weights that decides the tokens of an image, in one line, for records."""
        counts = {kind: end - start for kind, (start, end) in self.tokens.items()}
        special = ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in ("cls", "register"))
        return f"{self.preprocess}; {special}, {self.grid[0]}x{self.grid[1]} patch"

    @property
    def n_special(self) -> int:
        """Tokens before the first patch token."""
        return self.tokens["patch"][0]

    @property
    def n_tokens(self) -> int:
        return self.tokens["patch"][1]

    @property
    def n_blocks(self) -> int:
        return len(self.blocks)

    def layer_index(self, layer: int) -> int:
        """`layer` as a 0-based block index; -1 is the last block. Raises SaevError if out of range."""
        n = self.n_blocks
        # bool is an int in Python, and `layer: true` in a YAML file is a mistake.
        if isinstance(layer, bool) or not isinstance(layer, int) or not -n <= layer < n:
            raise SaevError(f"layer must be an integer in [{-n}, {n - 1}] for {self.name}, got {layer!r}")
        return layer % n

    def weights_hash(self) -> str:
        """First 16 hex digits of the SHA-256 over all parameters and buffers, which are frozen.

        Raises:
            SaevError: one of them is not finite.
        """
        if self._hash is not None:
            return self._hash
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            if not value.isfinite().all():
                raise SaevError(f"{self.name}: its weights are not finite, e.g. {key!r}")
            digest.update(key.encode())
            # Flat first: a scalar (BatchNorm's count of batches) has no last axis to view as bytes.
            digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
        self._hash = digest.hexdigest()[:16]
        return self._hash

    def block(self, i: int, tokens: Tensor) -> Tensor:
        """Block i: (b, t, d) -> (b, t, d)."""
        return self.blocks[i](tokens)

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, t, d), the input of block 0."""

    @abstractmethod
    def norm(self, tokens: Tensor) -> Tensor:
        """The final normalisation of all tokens."""

    @abstractmethod
    def output(self, tokens: Tensor) -> Tensor:
        """Normalised tokens (b, t, d) -> what the whole model returns, (b, o)."""

    def prefix(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Residual stream after each of `layers`, each (b, t, d); no later block is computed."""
        wanted = [self.layer_index(layer) for layer in layers]
        tokens, found = self.embed(images), {}
        for i in range(max(wanted) + 1):
            tokens = found[i] = self.block(i, tokens)
        return [found[i] for i in wanted]

    def suffix(self, tokens: Tensor, layer: int) -> Tensor:
        """Residual stream after `layer` -> final normalised tokens, (b, t, d)."""
        for i in range(self.layer_index(layer) + 1, self.n_blocks):
            tokens = self.block(i, tokens)
        return self.norm(tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Final normalised tokens of `images`, (b, t, d)."""
        return self.suffix(self.prefix(images, [0])[0], 0)


LONGEST = 2**12
Side = Annotated[int, between(1, LONGEST)]
"""Of an input in pixels."""


def input_size(img_size: Any) -> tuple[int, int] | None:
    """The option `img_size` of every family: a side, or [height, width], in pixels; null: as trained.

    Returns (height, width) or None. Raises SaevError on anything else.
    """
    if img_size is None:
        return None
    sides = tuple(img_size) if isinstance(img_size, (list, tuple)) else (img_size, img_size)
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= LONGEST for side in sides):
        raise SaevError(
            f"backbone.img_size must be a side or [height, width] in whole pixels, or null, got {img_size!r}"
        )
    return sides


def _grid(name: str, size: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the patches in an input of `size`. Raises SaevError if they are not whole."""
    rows, columns = (max(1, side // length) for side, length in zip(size, patch, strict=True))
    whole = (rows * patch[0], columns * patch[1])
    if whole != tuple(size):
        right = whole[0] if whole[0] == whole[1] else list(whole)
        raise SaevError(
            f"{name}: an input of {size[0]} x {size[1]} px is not a whole number of "
            f"{patch[0]} x {patch[1]} px patches; img_size={right} is"
        )
    return rows, columns
