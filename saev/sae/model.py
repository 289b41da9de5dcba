"""The sparse autoencoder, and what an architecture has to say to make it one."""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from saev.checks import COUNT, Options
from saev.errors import SaevError
from saev.files import digest
from saev.sae.kernels.certified import scores
from saev.sae.kernels.rough import rough_product
from saev.sae.kernels.scores import Scores
from saev.sae.kernels.sparse import Codes, Pairs, bag, offsets_of

if TYPE_CHECKING:  # stores come with zarr, and an SAE by itself needs none
    from saev.activations import Origin


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
        precision: of the product that codes are selected by, `auto`, `fp32`, `bf16` or `int8`; the codes are
            those of float32 (saev.sae.kernels.certified).
        shard: (i, n): hold the latents i, i + n, ... alone (saev.sae.kernels.shards), for training one
            dictionary with n processes; `s` is then their number.

    Attributes:
        origin: the identity of the activations that it was trained on (saev.activations.origin), where known.
    """

    mean: Tensor
    scale: Tensor
    origin: "Origin | None"
    if TYPE_CHECKING:  # it has no submodules: what an architecture adds are parameters and buffers

        def __getattr__(self, name: str) -> Tensor: ...

    def __init__(
        self,
        architecture: "Architecture",
        mean: Float[Tensor, " d"],
        scale: float,
        *,
        seed: int = 0,
        precision: str = "auto",
        shard: tuple[int, int] = (0, 1),
    ):
        super().__init__()
        self.architecture, self.precision, self.origin = architecture, precision, None
        self.shard, self.shards = shard
        d = len(mean)
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        directions = torch.randn(architecture.d_sae, d, generator=torch.Generator().manual_seed(seed))
        self.W_dec = nn.Parameter(F.normalize(directions, dim=1)[self.shard :: self.shards].clone())
        # The encoder's transpose: each latent's weights lie together in memory, which is how their gradient
        # is computed and used. (A parameter (d, s) with these strides costs fused Adam four times as long.)
        self.W_enc_sd = nn.Parameter(self.W_dec.detach().clone())
        self.b_enc = nn.Parameter(torch.zeros(self.s))
        self.b_dec = nn.Parameter(torch.zeros(d))
        for name, start in architecture.extra_parameters().items():
            self.register_parameter(name, nn.Parameter(start[self.shard :: self.shards].clone()))
        for name, start in architecture.extra_buffers().items():
            self.register_buffer(name, start)

    def extra_repr(self) -> str:
        """What `repr` tells: the architecture, the width, and what it was trained on."""
        if self.origin is None:
            return f"{self.architecture}, d={self.d}"
        where = f"{' and '.join(self.origin.kinds)} tokens after block {self.origin.layer}"
        return f"{self.architecture}, d={self.d}, of {where} of {self.origin.backbone}"

    @property
    def W_enc(self) -> Float[Tensor, "d s"]:
        """A view of the parameter `W_enc_sd`."""
        return self.W_enc_sd.t()

    @property
    def d(self) -> int:
        """Width of the activations."""
        return self.W_dec.shape[1]

    @property
    def s(self) -> int:
        """Latents here: `d_sae`, or a shard's part of them."""
        return self.W_dec.shape[0]

    @property
    def d_sae(self) -> int:
        """Latents of the whole dictionary."""
        return self.architecture.d_sae

    def normalise(self, x_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Raw activations -> zero mean, E||z|| = sqrt(d)."""
        return (x_nd - self.mean) / self.scale

    def pre_activations(self, z_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n s"]:
        """(n, s) from normalised activations."""
        return torch.addmm(self.b_enc - self.b_dec @ self.W_enc, z_nd, self.W_enc)

    @torch.no_grad()
    def scores(self, z_nd: Float[Tensor, "n d"]) -> Scores:
        """The same to select from, without a graph, in float32 whatever it is selected in."""
        bias = self.b_enc - self.b_dec @ self.W_enc
        return scores(z_nd, self.W_enc_sd, bias, rough_product(self.precision, z_nd.device))

    @torch.no_grad()
    def codes(self, x_nd: Float[Tensor, "n d"]) -> Codes:
        """Sparse codes of raw activations, values > 0 only."""
        return self.architecture.codes(self, self.scores(self.normalise(x_nd)))

    def encode(self, x_nd: Float[Tensor, "n d"]) -> Float[Tensor, "n s"]:
        """Dense codes f (n, s) of raw activations."""
        return self.codes(x_nd).dense(self.s)

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
        """After an optimiser step bring the parameters back to where its architecture wants them."""
        self.architecture.project(self)

    def check_tokens(self, tokens, what: str) -> None:
        """Raise SaevError unless this SAE may read `tokens`.

        Args:
            tokens: saev.activations.Tokens. They must be of its origin, but for the images; an SAE without an
                origin (of another library) takes all of its width.
            what: name of the SAE in the error.
        """
        if self.origin is not None:
            # Late, because stores come with it (zarr), and an SAE by itself needs none.
            from saev.activations.origin import agree

            agree(self.origin, tokens.origin, what, str(tokens.path), but=("data",))
        if tokens.d != self.d:
            raise SaevError(
                f"{tokens.path}: activations have width {tokens.d}, {what} was trained on width {self.d}"
            )

    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 over the architecture and the state dict: which SAE this is.

        The architecture counts too, because weights alone do not say k; of its options those that are not at
        their defaults, so that an SAE stays the same when its class gets a new option.
        """
        options = asdict(self.architecture)
        chosen = {f.name: options[f.name] for f in fields(self.architecture) if options[f.name] != f.default}
        arrays = {name: value.cpu().numpy() for name, value in self.state_dict().items()}
        return digest([type(self.architecture).__name__, chosen], arrays)[:16]

    def check_values(self) -> None:
        """Raise SaevError unless all its values are finite, and its scale above 0."""
        for name, value in self.state_dict().items():
            if wrong := int((~value.isfinite()).sum()):
                raise SaevError(
                    f"{name.removesuffix('_sd')} must be finite, but {wrong} of its values are not"
                )
        if not self.scale > 0:
            raise SaevError(f"scale must be > 0, got {self.scale.item():g}")


@dataclass(frozen=True, kw_only=True)
class Architecture(Options, section="sae"):
    """How an SAE encodes: its options, and all that inference needs.

        select   the pairs (token, latent) that may be active, from pre = (z - b_dec) W_enc + b_enc
        values   their codes f, from their pre-activations

    Here all positive pre-activations, f = ReLU(pre). What an SAE is trained with comes in saev.sae.trained.
    """

    d_sae: Annotated[int, COUNT]
    """Number of latents."""

    @property
    def sample_size(self) -> int:
        """How many activations `initialise` wants to see."""
        return 0

    def initialise(self, sae: SAE, z_md: Tensor, seed: int) -> None:
        """Set the parameters of a new SAE from `sample_size` normalised activations."""

    def extra_parameters(self) -> dict[str, Tensor]:
        """Initial values of what the SAE learns beside its four usual parameters; (d_sae, ...) each."""
        return {}

    def extra_buffers(self) -> dict[str, Tensor]:
        """Initial values of what it keeps beside them."""
        return {}

    def select(self, sae: SAE, scores: Scores) -> Pairs:
        """The pairs that may be active."""
        return scores.above(0.0)

    def values(self, sae: SAE, pre: Tensor, latents: Tensor | slice) -> Tensor:
        """The codes of pairs from their pre-activations, both alike (m,) or dense (n, s).

        Args:
            latents: (m,) which latent, or slice(None): an index into the parameters of the latents.
        """
        return pre.relu()

    def codes(self, sae: SAE, scores: Scores) -> Codes:
        """The codes above 0, with the whole dictionary."""
        pairs = self.select(sae, scores)
        values = self.values(sae, pairs.pre, pairs.latents)
        fires = values > 0
        return Codes(values[fires], pairs.latents[fires], offsets_of(pairs.tokens[fires], pairs.n))

    def project(self, sae: SAE) -> None:
        """After an optimiser step bring the parameters back to where they may be."""
