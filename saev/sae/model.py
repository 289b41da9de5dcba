"""The sparse autoencoder."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from saev.errors import SaevError
from saev.machine.machine import use_bf16
from saev.sae.architecture import Architecture
from saev.sae.kernels.sparse import Codes, bag


class SAE(nn.Module):
    """A sparse autoencoder on raw backbone activations; it owns their normalisation.

        z     = (x - mean) / scale
        pre   = (z - b_dec) W_enc + b_enc             (n, s)
        f     = values(pre) where selected, else 0    (n, s)   the codes, by its architecture
        x_hat = scale * (f W_dec + b_dec) + mean      (n, d)

    Rows of W_dec have unit norm, unless their architecture leaves them free, so a code is a length in
    normalised activation space.

    Args:
        architecture: its options.
        mean: (d,) mean activation. scale: mean norm of the centred activation over sqrt(d).
        seed: of the initial decoder directions.
        precision: of the encoder product; parameters stay float32.
        shard, shards: hold the latents shard, shard + shards, ... alone (saev.sae.kernels.shards), for training
            a dictionary with several processes; (s,) below is then their number.
    """

    def __init__(
        self,
        architecture: Architecture,
        mean: Float[Tensor, " d"],
        scale: float,
        *,
        seed: int = 0,
        precision: str = "fp32",
        shard: int = 0,
        shards: int = 1,
    ):
        super().__init__()
        self.architecture, self.precision, self.shard, self.shards = architecture, precision, shard, shards
        d = len(mean)
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        directions = torch.randn(architecture.d_sae, d, generator=torch.Generator().manual_seed(seed))
        self.W_dec = nn.Parameter(F.normalize(directions, dim=1)[shard::shards].clone())
        # The encoder's transpose: each latent's weights lie together in memory, which is how their gradient is
        # computed and used. (A parameter (d, s) with these strides costs fused Adam four times as long.)
        self.W_enc_sd = nn.Parameter(self.W_dec.detach().clone())
        self.b_enc = nn.Parameter(torch.zeros(len(self.W_dec)))
        self.b_dec = nn.Parameter(torch.zeros(d))
        for name, start in architecture.extra_parameters().items():
            self.register_parameter(name, nn.Parameter(start[shard::shards].clone()))
        for name, start in architecture.extra_buffers().items():
            self.register_buffer(name, start)

    @property
    def W_enc(self) -> Float[Tensor, "d s"]:
        """A view of the parameter `W_enc_sd`."""
        return self.W_enc_sd.t()

    @property
    def d(self) -> int:
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        return self.W_dec.shape[0]

    def check_width(self, d: int, origin: str) -> None:
        """Raise SaevError unless activations of width `d` fit."""
        if d != self.d:
            raise SaevError(f"{origin}: activations have width {d}, the SAE was trained on width {self.d}")

    def normalise(self, x_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Raw activations -> zero mean, E||z|| = sqrt(d)."""
        return (x_nd - self.mean) / self.scale

    def pre_activations(self, z_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n s"]:
        """(n, s) from normalised activations; bf16 where `precision` says so."""
        bias = self.b_enc - self.b_dec @ self.W_enc
        if use_bf16(self.precision, z_nd.device):
            return torch.addmm(bias.bfloat16(), z_nd.bfloat16(), self.W_enc.bfloat16())
        return torch.addmm(bias, z_nd, self.W_enc)

    @torch.no_grad()
    def codes(self, x_nd: Float[Tensor, "n d"]) -> Codes:
        """Sparse codes of raw activations, values > 0 only."""
        return self.architecture.codes(self, self.pre_activations(self.normalise(x_nd)))

    def encode(self, x_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n s"]:
        """Dense codes f (n, s) of raw activations."""
        return self.codes(x_nd).dense(self.d_sae)

    def decode(self, f: Float[Tensor, "n s"] | Codes) -> Float[Tensor, "n d"]:
        """Codes, dense (n, s) or sparse, -> raw activations (n, d)."""
        z_hat = bag(f.latents, f.offsets, f.values, self.W_dec) if isinstance(f, Codes) else f @ self.W_dec
        return (z_hat + self.b_dec) * self.scale + self.mean

    def forward(self, x_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Reconstruction of raw activations."""
        return self.decode(self.codes(x_nd))

    @torch.no_grad()
    def point(self, rows_sd: Float[Tensor, "s d"]) -> None:
        """Make these the decoder rows and, transposed, the encoder."""
        self.W_dec.copy_(rows_sd)
        self.W_enc_sd.copy_(rows_sd)

    @torch.no_grad()
    def project(self) -> None:
        """After an optimiser step bring decoder rows back to unit norm, and the architecture's own parameters to their range."""
        if self.architecture.unit_norm:
            self.W_dec.div_(torch.linalg.vector_norm(self.W_dec, dim=1, keepdim=True))
        self.architecture.project(self)
