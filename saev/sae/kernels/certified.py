"""Scores selected in low precision and decided in float32.

The encoder product of a whole dictionary is wanted only to learn which few latents matter. So it is computed
roughly, candidates are taken from it with some to spare, their scores are computed in float32, and a bound on
what the rough product can be wrong by proves, token by token, that no other latent could have been selected.
Tokens without proof are done again, whole, in float32. What comes out is therefore what float32 gives, to the
order of summation, whatever the machine multiplies in.

Let p be the rough value of a score pre, and |pre - p| <= B (saev.sae.kernels.rough). Of a token's candidates
let t be the k-th largest score, and l the smallest rough value: whoever is no candidate has p <= l. Then

    t >= l + B    proves that the k largest scores are among the candidates.

Likewise all scores above a threshold have rough values above it less B.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saev.sae.kernels.rough import PRODUCTS, Rough
from saev.sae.kernels.scores import Dense, Scores, largest, true_pairs
from saev.sae.kernels.sparse import Pairs, inner_products, offsets_of

CERTIFIED_FROM = 8192
"""Latents; of fewer the float32 product takes no longer than the proof."""
SPARE = {"bf16": 16, "int8": 32}
"""Candidates beyond k. (Of the embedded study's tokens more than 99 % are then proven; early in a training,
when many latents are alike, three quarters.)"""
MOST = 1 / 64
"""Share of the latents that may be candidates of a token; to rank more costs what the rough product saves."""
FEW = 0.04
"""Share of candidates up to which their scores, one by one, are quicker than all of them."""


def scores(z_nd: Tensor, W_sd: Tensor, bias_s: Tensor, rough: Rough | None) -> Scores:
    """z W + bias, selected roughly where that is quicker; `rough` None: never."""
    worth_it = len(W_sd) >= CERTIFIED_FROM and len(z_nd) > 0 and z_nd.dtype == torch.float32
    if rough is None or not worth_it:
        return Dense(torch.addmm(bias_s, z_nd, W_sd.t()))
    return Certified(z_nd, W_sd, bias_s, rough)


class Certified:
    """Scores of a large dictionary, see above.

    Args:
        z_nd: (n, d) inputs. W_sd: (s, d) and bias_s: (s,) of the latents; all float32.
        rough: what the product is computed in.

    Attributes:
        unproven: how many tokens `largest` did again.
    """

    def __init__(self, z_nd: Tensor, W_sd: Tensor, bias_s: Tensor, rough: Rough):
        self.z_nd, self.W_sd, self.bias_s = z_nd, W_sd, bias_s
        self.rough: Rough = rough
        self.n, self.s = len(z_nd), len(W_sd)
        self.unproven = 0

    def largest(self, k: int) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
        """See `Scores`."""
        taken = k + SPARE[self.rough]
        if taken > MOST * self.s:
            return Dense(self.dense()).largest(k)
        product = PRODUCTS[self.rough](self.z_nd, self.W_sd, self.bias_s)
        candidates = self.z_nd.new_empty(self.n, taken, dtype=torch.int64)
        lowest = self.z_nd.new_empty(self.n)
        for rows, rough_cs in product.chunks():
            candidates[rows] = largest(rough_cs, taken)
            lowest[rows] = rough_cs.gather(1, candidates[rows]).amin(1).float()
        offsets = torch.arange(self.n + 1, device=candidates.device) * taken
        top = self._exact(candidates.flatten(), offsets).view_as(candidates).topk(k, dim=1, sorted=False)
        latents, values = candidates.gather(1, top.indices), top.values
        proven = values.amin(1) >= product.bounds.highest(lowest)  # not of NaN
        again = (~proven).nonzero().flatten()
        self.unproven = len(again)
        if len(again):
            latents[again], values[again] = Dense(self._dense(again)).largest(k)
        return latents, values

    def above(self, threshold: Float[Tensor, "..."] | float) -> Pairs:
        """See `Scores`."""
        threshold = torch.as_tensor(threshold, device=self.bias_s.device).expand(self.s)
        product = PRODUCTS[self.rough](self.z_nd, self.W_sd, self.bias_s - threshold)
        surely_not = product.bounds.lowest_above_0()[:, None]
        tokens, latents = [], []
        for rows, rough_cs in product.chunks():
            of_chunk, found = true_pairs(rough_cs > surely_not[rows].to(rough_cs.dtype))
            if len(found) > FEW * rough_cs.numel():
                return Dense(self.dense()).above(threshold)
            tokens.append(of_chunk + rows.start)
            latents.append(found)
        tokens, latents = torch.cat(tokens), torch.cat(latents)
        exact = self._exact(latents, offsets_of(tokens, self.n))
        kept = exact > threshold[latents]
        offsets = offsets_of(tokens[kept], self.n)
        return Pairs(latents[kept], offsets, self.n, self.s, exact[kept])

    def part(self, tokens: Tensor | slice, latents: Tensor | slice) -> Scores:
        """See `Scores`."""
        return scores(self.z_nd[tokens], self.W_sd[latents], self.bias_s[latents], self.rough)

    def sample(self) -> Float[Tensor, " m"]:
        """See `Scores`."""
        return self._dense(slice(None, None, max(1, self.n // 64))).flatten()

    def dense(self) -> Float[Tensor, "n s"]:
        """See `Scores`."""
        return self._dense(slice(None))

    def _exact(self, latents: Tensor, offsets: Tensor) -> Tensor:
        return inner_products(latents, offsets, self.z_nd, self.W_sd) + self.bias_s[latents]

    def _dense(self, tokens: Tensor | slice) -> Tensor:
        return torch.addmm(self.bias_s, self.z_nd[tokens], self.W_sd.t())
