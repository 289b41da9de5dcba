"""What stages do, counted in the units of a machine's rates."""

from dataclasses import astuple, dataclass
from typing import NamedTuple

from saev.planning.rates import Rates
from saev.planning.size import Shape, store_bytes


@dataclass(frozen=True, kw_only=True)
class Work:
    """Amounts of all that takes time. Those of two works add up."""

    vit: float = 0.0
    """Floating-point operations of a ViT's blocks."""
    product: float = 0.0
    """Of dense products of an SAE."""
    memory: float = 0.0
    """Bytes through memory: sparse sums, selection, the optimiser."""
    images: float = 0.0
    """Read and brought to the model's size."""
    disk: float = 0.0
    """Bytes written."""
    starts: float = 0.0
    """Of a process that loads torch."""

    def __add__(self, other: "Work") -> "Work":
        return Work(**{key: getattr(self, key) + getattr(other, key) for key in self.__dataclass_fields__})

    def __mul__(self, times: float) -> "Work":
        return Work(**{key: times * getattr(self, key) for key in self.__dataclass_fields__})

    def seconds(self, rates: Rates) -> float:
        """One after the other: nothing here is taken to run beside something else."""
        return (
            sum(
                getattr(self, key) / getattr(rates, key)
                for key in self.__dataclass_fields__
                if key != "starts"
            )
            + self.starts * rates.start
        )

    def __bool__(self) -> bool:
        return any(astuple(self))


class Dictionary(NamedTuple):
    """An SAE in numbers."""

    d: int
    d_sae: int
    active: float
    """Latents of a token."""
    competitive: bool = True
    """Whether only the active ones of a token take part in a training step, or all where that is quicker."""
    prefixes: int = 0
    """Of them, how many times a part of the dictionary must reconstruct as well."""


def recording(shape: Shape, n_images: int, layers: list[int], *, value: int = 2) -> Work:
    """Of images through the blocks up to the last of the layers, in one pass."""
    depth = 1 + max(shape.index(layer) for layer in layers)
    written = store_bytes(shape, n_images, len(layers), value=value)
    return Work(vit=n_images * depth * shape.block, images=n_images, disk=written)


def passing(shape: Shape, n_images: float, layer: int) -> Work:
    """Of stored activations through the blocks after a layer."""
    return Work(vit=n_images * (shape.blocks - 1 - shape.index(layer)) * shape.block)


def encoding(of: Dictionary, n_tokens: float) -> Work:
    """A product, from whose n s results, written and read once, the codes are selected."""
    return Work(product=2 * n_tokens * of.d * of.d_sae, memory=8 * n_tokens * of.d_sae)


def training(of: Dictionary, batch_size: int, steps: int) -> Work:
    """The steps of one SAE: of each token its encoding, and then

        sparse    a row of d float32 for each active latent: in the reconstruction, again for each prefix,
                  and of gradients to codes, decoder and encoder, each read and written
        dense     (where all latents take part, if that takes fewer operations) four more products

    and of each step Adam, which reads and writes 2 d s parameters, gradients and two means.
    """
    n = batch_size * steps
    bags = 4 * of.d * of.active * n * (6 + 2 * of.prefixes)
    dense = 8 * n * of.d * of.d_sae
    # A byte of a gathered row costs as much as some ten operations of a product.
    sparse = Work(memory=bags) if of.competitive or 10 * bags < dense else Work(product=dense)
    return encoding(of, n) + sparse + Work(memory=steps * 2 * of.d * of.d_sae * 4 * 7)
