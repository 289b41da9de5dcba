"""Edits of features while a model runs: its own forward pass, its own output.

    with edited(model, sae, {36: -0.5 * maximum}, layer=10):
        logits = model(pixels)

What happens after block `layer` to every token that the SAE reads is `saev.intervention.edits`, on codes that
are those of this very pass:

    x' = x + scale * sum over latents s of (v_s - f_s(x)) W_dec[s]
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from saev.backbones.anatomy import Anatomy, anatomy
from saev.checks import check_int, check_number
from saev.errors import SaevError
from saev.intervention.edits import Edit, edit_latents
from saev.sae.model import SAE

KINDS = ("cls", "register", "patch")
"""Of tokens that a model goes on with."""
PLACES = ("all", "active")

Code = float | Callable[[Tensor], Tensor]
"""What the code of a latent becomes: a number, or a function of the codes that it has."""
Where = Literal["all", "active"] | np.ndarray | Tensor


@contextmanager
def edited(
    model: nn.Module,
    sae: SAE,
    codes: Mapping[int, Code],
    *,
    layer: int | None = None,
    kinds: Sequence[str] | None = None,
    where: Where = "all",
) -> Iterator[None]:
    """Within the `with` block every forward pass of `model` has these codes edited; after it, and after an
    error in it, the model is as it was. Edits of several layers, or SAEs, nest.

    Args:
        model: of timm or open_clip (the whole model or its image tower), or a Backbone.
        codes: of each latent a number, or a function (b, t) -> (b, t) of its codes: `lambda f: 2 * f`.
        layer: the block after which the SAE reads; may be left out of an SAE that knows.
        kinds: which of the tokens that the SAE reads are edited, all if left out; of an SAE that does not
            know what it reads, the patches.
        where: `all` tokens, those where the latent itself is `active`, or a bool mask of patches, (rows,
            columns) for all images alike or (b, rows, columns).

    Raises:
        SaevError: the model is of another library or width, or has no such layer or tokens; the SAE has no
            such latent, or is of another layer; a code is no number; a mask is of another grid.
    """
    found = anatomy(model)
    index = found.layer_index(_layer(sae, found, layer))
    change = _Change(sae, found, _checked(codes, sae), _kinds(sae, found, kinds), _place(where))
    handle = found.blocks[index].register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class _Change:
    """A forward hook of a block."""

    sae: SAE
    anatomy: Anatomy
    codes: dict[int, Code]
    kinds: tuple[str, ...]
    where: Literal["all", "active"] | Tensor

    def __call__(self, block: nn.Module, args: tuple, x_btd: Tensor) -> Tensor:
        if x_btd.shape[-1] != self.sae.d:
            raise SaevError(
                f"the model's tokens have width {x_btd.shape[-1]}, the SAE was trained on width {self.sae.d}"
            )
        n_tokens, device = x_btd.shape[1], self.sae.W_dec.device
        positions = torch.cat([self.anatomy.positions(kind, n_tokens) for kind in self.kinds])
        # In float32 whatever the model computes in, as the codes of a study are.
        with torch.autocast(device.type, enabled=False):
            edit = self.edit(x_btd[:, positions.to(x_btd.device)].to(device, torch.float32))
            if isinstance(self.where, Tensor):
                edit = edit.where(self._mask(self.where, positions, x_btd.shape[:2]).to(device))
            change_btd = edit.change()
        return x_btd.index_add(1, positions.to(x_btd.device), change_btd.to(x_btd))

    def edit(self, x_btd: Tensor) -> Edit:
        """Of the tokens that are read, raw, in all places; of `active` where each latent fires."""
        latents = list(self.codes)
        # One image at a time: the codes of all latents are as wide as the dictionary.
        f_btk = torch.stack([self.sae.encode(x_btd[b])[:, latents] for b in range(len(x_btd))])
        new_btk = torch.stack(
            [becomes(f_btk[..., k], code) for k, code in enumerate(self.codes.values())], -1
        )
        edit = edit_latents(self.sae, latents, f_btk, new_btk)
        if self.where == "active":
            edit = edit._replace(amounts_btk=edit.amounts_btk * (f_btk > 0))
        return edit

    def _mask(self, mask: Tensor, positions: Tensor, shape: torch.Size) -> Tensor:
        """(b or 1, t) bool over the tokens that are read: the patches of the mask."""
        (b, n_tokens), first = shape, self.anatomy.n_special
        n_patches = n_tokens - first
        images, rest = divmod(mask.numel(), n_patches)
        if rest or images not in (1, b):
            asked = f"{n_patches} patches, or so many of each of {b} images"
            raise SaevError(f"where must be a mask of {asked}, got one of shape {tuple(mask.shape)}")
        whole = torch.zeros(images, n_tokens, dtype=torch.bool)
        whole[:, first:] = mask.reshape(images, n_patches)
        return whole[:, positions]


def becomes(f_bt: Tensor, code: Code) -> Tensor:
    """The codes of one latent after its edit."""
    if not callable(code):
        return torch.full_like(f_bt, code)
    new_bt = code(f_bt)
    if not isinstance(new_bt, Tensor) or new_bt.shape != f_bt.shape:
        raise SaevError(f"a function of codes must return as many, {tuple(f_bt.shape)}, got {new_bt!r:.80}")
    return new_bt.to(f_bt)


def _layer(sae: SAE, found: Anatomy, layer: int | None) -> int:
    origin = sae.origin
    if origin is None:
        if layer is None:
            raise SaevError("layer must be given, since this SAE does not know of which layer it is")
        return layer
    if layer is not None and found.layer_index(layer) != origin.layer:
        raise SaevError(f"layer must be {origin.layer}, whose tokens the SAE was trained on, got {layer!r}")
    return origin.layer


def _kinds(sae: SAE, found: Anatomy, kinds: Sequence[str] | None) -> tuple[str, ...]:
    reads = KINDS if sae.origin is None else sae.origin.kinds
    chosen = kinds if kinds is not None else ("patch",) if sae.origin is None else reads
    if isinstance(chosen, str) or not chosen or any(kind not in reads for kind in chosen):
        raise SaevError(f"kinds must be a list of {', '.join(reads)}, which the SAE reads, got {kinds!r}")
    there = {"cls": found.n_cls, "register": found.n_register, "patch": 1}
    if absent := [kind for kind in chosen if not there.get(kind)]:
        raise SaevError(f"the model has no {absent[0]} token that an edit could change")
    return tuple(kind for kind in KINDS if kind in chosen)


def _checked(codes: Mapping[int, Code], sae: SAE) -> dict[int, Code]:
    if not isinstance(codes, Mapping) or not codes:
        raise SaevError(f"codes must be {{latent: what its code becomes}}, got {codes!r:.80}")
    checked = {}
    for latent, code in codes.items():
        latent, code = (of.item() if isinstance(of, (np.generic, Tensor)) else of for of in (latent, code))
        check_int("latent", latent, low=0, high=sae.d_sae - 1)
        if not callable(code):
            check_number(f"the code of latent {latent}", code, low=-1e9, high=1e9)
        checked[latent] = code
    return checked


def _place(where: Where) -> Literal["all", "active"] | Tensor:
    if isinstance(where, str) and where in PLACES:
        return where
    mask = torch.as_tensor(where) if isinstance(where, (np.ndarray, Tensor)) else None
    if mask is None or mask.dtype != torch.bool:
        raise SaevError(f"where must be all, active, or a bool mask of patches, got {where!r:.80}")
    return mask
