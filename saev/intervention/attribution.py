"""Which latents the model's answer rests on, to first order: one backward pass through the rest of the model.

    attribution_s = sum over tokens of f_s scale <W_dec[s], d logit / d x>

is the slope of the logit when all codes of latent s are scaled, so that ablating it takes about that much
away. It is gradient x activation, also called attribution patching.
"""

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from saev.intervention.trial import Setup
from saev.tasks.continuation import BATCH


def attribution(setup: Setup, target: int) -> np.ndarray:
    """(b, s) what each latent adds to the mean logit of class `target` over the units that show it, in each
    image of `setup.model`; nan in images that do not show it.

    On training images (`setup.tokens` and `setup.val` of the training split) its mean chooses latents.
    """
    units_bu = setup.truth_bu == target
    added_bs = np.full((len(units_bu), setup.sae.d_sae), np.nan)
    for images in units_bu.any(1).nonzero().flatten().split(BATCH):
        gradient_btd = setup.sae.scale * logit_gradient(setup, target, images, units_bu[images])
        for i, gradient_td in zip(images.tolist(), gradient_btd, strict=True):
            added_bs[i] = _of_image(_codes(setup, i), gradient_td @ setup.sae.W_dec.detach().T)
    return added_bs


def mean_attribution(setup: Setup, target: int) -> np.ndarray | None:
    """(s,) over the images that show the class; None where none does."""
    added_bs = attribution(setup, target)
    shows_b = ~np.isnan(added_bs).all(1)
    return added_bs[shows_b].mean(0) if shows_b.any() else None


def logit_gradient(setup: Setup, target: int, images: Tensor, units_bu: Tensor) -> Tensor:
    """(b, t, d) of each image's mean logit of class `target` over some of its units, by the tokens that the
    SAE reads, raw.

    Args:
        images: (b,) indices into `setup.model.images`. units_bu: bool.
    """
    model = setup.model
    device = model.machine.device
    # Cloned, because tokens that were computed for inference take part in no graph.
    x_btd = model.x_btd[images].clone().to(device).requires_grad_()
    with torch.enable_grad(), model.machine.autocast():
        final_btd = model.backbone.suffix(x_btd, model.layer)
        logit_bu = model.task.logits(model.backbone, final_btd.float())[..., target]
    weight_bu = (units_bu / units_bu.sum(1, keepdim=True)).to(device)
    # Images do not know of each other, so the sum over them has the gradient of each.
    (gradient_btd,) = torch.autograd.grad((logit_bu * weight_bu).sum(), x_btd)
    return gradient_btd[:, torch.from_numpy(setup.tokens.positions).to(device)].float().cpu()


def _codes(setup: Setup, i: int) -> scipy.sparse.csr_array:
    """(t, s) of one of the model's images."""
    first = int(setup.model.images[i]) * setup.val.per_image
    return setup.val.csr[first : first + setup.val.per_image]


def _of_image(codes_ts: scipy.sparse.csr_array, slope_ts: Tensor) -> np.ndarray:
    """(s,) sums over tokens of code x slope."""
    token = np.repeat(np.arange(codes_ts.shape[0]), np.diff(codes_ts.indptr))
    added = codes_ts.data * slope_ts.numpy()[token, codes_ts.indices]
    return np.bincount(codes_ts.indices, added, minlength=codes_ts.shape[1])
