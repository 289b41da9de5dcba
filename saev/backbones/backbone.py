"""The cut: a ViT as prefix (images -> activations) and suffix (activations -> outputs)."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from saev.data.preprocess import Preprocess
from saev.errors import SaevError


class Backbone(nn.Module, ABC):
    """A frozen vision transformer, cut after the residual stream of any block.

    With h_0 = embed(x) and h_{l+1} = block_l(h_l), `prefix` gives h_{l+1} ("layer l") and
    `suffix` continues from it exactly as the model would:

        suffix(prefix(x, [l])[0], l) == norm(h_L)        final tokens, (b, t, d)
        output(norm(h_L))            == model(x)         pooled features or logits

    Subclasses say how their library spells `blocks`, `embed`, `norm` and `output`, and
    `block` where a block takes more than the tokens.

    Attributes:
        name: the model's name with its library, for records.
        preprocess: how images become input tensors.
        grid: (rows, columns) of patch tokens.
        tokens: the range of each kind of token along the token axis: cls, register, patch.
        d: width of the residual stream.

    Raises:
        SaevError: the input is not a whole number of patches.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        preprocess: Preprocess,
        patch: tuple[int, int],
        n_cls: int,
        n_register: int = 0,
        d: int,
    ):
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.name, self.preprocess, self.d = name, preprocess, d
        self._hash: str | None = None
        (height, width), (rows, columns) = preprocess.size, patch
        if height % rows or width % columns:
            raise SaevError(
                f"{name}: input of {height} x {width} px is not a whole number of {rows} x {columns} px patches"
            )
        self.grid = (height // rows, width // columns)
        ends = (0, n_cls, n_cls + n_register, n_cls + n_register + self.grid[0] * self.grid[1])
        self.tokens = {
            kind: (ends[i], ends[i + 1])
            for i, kind in enumerate(("cls", "register", "patch"))
            if ends[i] < ends[i + 1]
        }

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The transformer blocks in order."""

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
        if (
            isinstance(layer, bool)
            or not isinstance(layer, int)
            or not -self.n_blocks <= layer < self.n_blocks
        ):
            raise SaevError(
                f"layer must be an integer in [{-self.n_blocks}, {self.n_blocks - 1}] for {self.name}, got {layer!r}"
            )
        return layer % self.n_blocks

    def weights_hash(self) -> str:
        """First 16 hex digits of the SHA-256 over all parameters and buffers; computed once, since they are frozen."""
        if self._hash is not None:
            return self._hash
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.cpu().contiguous().view(torch.uint8).numpy().data)
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
