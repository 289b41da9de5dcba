"""How large things are: a backbone's tokens, and the files that are made of them."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # torch is loaded by who builds one
    from saev.backbones import Backbone


class Shape(NamedTuple):
    """A ViT in numbers."""

    tokens: int
    """t of an image, special ones included."""
    patches: int
    d: int
    """Width of the residual stream."""
    blocks: int

    @classmethod
    def of(cls, backbone: "Backbone") -> "Shape":
        rows, columns = backbone.grid
        return cls(backbone.n_tokens, rows * columns, backbone.d, backbone.n_blocks)

    @property
    def block(self) -> float:
        """Floating-point operations of one block on one image: q, k, v, out and an MLP of four times the
        width, 24 t d^2, and attention's own products, 4 t^2 d."""
        return 24 * self.tokens * self.d**2 + 4 * self.tokens**2 * self.d

    def index(self, layer: int) -> int:
        """A layer as a 0-based block; -1 is the last."""
        return layer % self.blocks


def store_bytes(shape: Shape, n_images: int, n_layers: int, *, value: int = 2) -> int:
    """Of an activation store: per layer t vectors and their norms (float32), and the labels (uint16)."""
    per_layer = shape.tokens * (value * shape.d + 4)
    return n_images * (n_layers * per_layer + 2 * (shape.patches + 1))


def sae_bytes(d: int, d_sae: int) -> int:
    """Of an SAE's checkpoint: two matrices, and biases."""
    return 4 * (2 * d * d_sae + d_sae + 2 * d)


def code_bytes(n_tokens: int, active: float, d_sae: int) -> int:
    """Of the codes of so many tokens: `active` values (float16) with their latents (uint16, or int32 of more
    than 2^16), and where each token begins (int64)."""
    return round(n_tokens * (active * (4 if d_sae <= 2**16 else 6) + 8))
