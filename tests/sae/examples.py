"""SAEs away from their symmetric start, of every trained architecture."""

import torch

from saev.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK

D, S, N = 12, 40, 50


def build(architecture, *, bias=0.0, dtype=torch.float64):
    """An SAE away from its symmetric start, and inputs for it."""
    generator = torch.Generator().manual_seed(3)
    sae = SAE(architecture, torch.randn(D, generator=generator), 1.7).to(dtype)
    with torch.no_grad():
        for parameter in (sae.W_enc, sae.b_enc, sae.b_dec):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(dtype))
        sae.b_enc.add_(bias)
        if not architecture.unit_norm:
            sae.W_dec.mul_(0.5 + torch.rand(S, 1, generator=generator).to(dtype))
        for name in architecture.extra_parameters():
            parameter = sae.get_parameter(name)
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(dtype)).abs_()
    return sae, (3 * torch.randn(N, D, generator=generator)).to(dtype)


ARCHITECTURES = [
    (TopK(d_sae=S, k=5), 0.0),
    (TopK(d_sae=S, k=5), -4.0),  # most of the top k are negative and must not act
    (TopK(d_sae=S, k=5, prefixes=(4, 15), aux_k=3, aux_tokens=1), 0.0),
    (BatchTopK(d_sae=S, k=5), 0.0),
    (TopK(d_sae=S, k=5, aux_k=30, aux_share=0.3, aux_tokens=1), 0.0),
    (BatchTopK(d_sae=S, k=3, prefixes=(10,), aux_k=30, aux_tokens=1), 0.0),  # more than are dead
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5), -6.0),  # sparse enough for the sparse path
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, prefixes=(10,)), 0.0),  # dense path
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, prefixes=(10,), aux_k=2, aux_tokens=1), -6.0),
    (JumpReLU(d_sae=S, l0=0.4, l0_warmup=0.5, theta=0.5, bandwidth=0.8), 0.0),
    (
        JumpReLU(
            d_sae=S, l0=0.4, l0_warmup=0.5, theta=0.1, bandwidth=0.8, prefixes=(7,), aux_k=4, aux_tokens=1
        ),
        -6.0,
    ),
    (Gated(d_sae=S, l1=0.3, l1_warmup=0.5), 0.0),
    (Gated(d_sae=S, l1=0.3, l1_warmup=0.5, prefixes=(7,), aux_k=4, aux_tokens=1), -6.0),
    (TopK(d_sae=S, k=5, unit_norm=False), 0.0),
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, unit_norm=False), -6.0),
    (ReLU(d_sae=S, l1=0.3, l1_warmup=0.5, unit_norm=False), 0.0),
    (Gated(d_sae=S, l1=0.3, l1_warmup=0.5, unit_norm=False), -6.0),
]
