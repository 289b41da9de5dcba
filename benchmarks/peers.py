"""One training step of every SAE library against ours, in one process and one interleaved run.

make peers        or, in its environment:
python -m benchmarks.peers [--kinds TopK ...] [--shapes 384x12288x2048 ...] [--repeats 5]
    --device cuda --shapes 768x24576x16384      on a GPU, where eai-sparsify takes a bf16 product (not tried
                                                yet)

Prints one JSON line: per shape and kind of SAE the medians of the bare encoder product, of ours (codes
selected by a rough product, float32 all the same; and by the float32 product), and of every library that has
this kind. Each takes the step that its own trainer takes in mid-training (past its
warm-ups, without logging): its forward, its loss, backward, clipping and projection where it has them, its
default optimiser.

The same for all: k = 32, the batch (Gaussian), fp32, 2048 or 4096 tokens at a time, memory kept in the
process (saev.machine.allocator), and encoder biases at which as many latents fire as in a trained SAE
(`start`; the libraries' steps are dense except eai-sparsify's, so it matters to ours alone). For AuxK half
of the latents are dead, and d / 2 of them are used, which is what the libraries do unasked. eai-sparsify's
encoder learns nothing from it (tests/peers), so it has less to do. overcomplete's loss of that name takes
half of all latents, dead or not, and is not compared.
"""

import gc
import json
from collections.abc import Callable
from functools import partial
from textwrap import shorten

import torch
from torch import Tensor

from benchmarks import peer_libraries as lib
from benchmarks.train_step import (
    K,
    architectures,
    encoder_gemm,
    half_dead,
    label,
    measure,
    options,
    ours,
    start,
    where,
)
from saev.machine.allocator import keep_freed_memory

MID_TRAINING = 5_000
"""Number of the step: every library's warm-ups are over."""
LONG_AGO = 10**9
"""Tokens, or steps, since a dead latent fired: more than any library's limit."""


class SAELens:
    """`SAETrainer.step`."""

    def __init__(self, name: str, d: int, s: int, x_nd: Tensor, dead: Tensor | None, **config: object):
        config_class, sae_class = (
            getattr(lib.sae_lens, f"{name}TrainingSAE{suffix}") for suffix in ("Config", "")
        )
        sae = sae_class(config_class(d_in=d, d_sae=s, device=str(x_nd.device), **config))
        self.trainer = lib.sae_lens.SAETrainer(
            lib.SAETrainerConfig(
                total_training_samples=LONG_AGO,
                train_batch_size_samples=len(x_nd),
                lr_end=3e-4,
                device=str(x_nd.device),
            ),
            sae,
            data_provider=iter(()),
        )
        start(sae.W_enc, sae.b_enc, x_nd, limited="k" in config, dead=dead)
        if dead is not None:
            self.trainer.n_forward_passes_since_fired[dead] = LONG_AGO

    def __call__(self, x_nd: Tensor) -> None:
        self.trainer.step(x_nd)


class DictionaryLearning:
    """`update` of the trainer of each kind."""

    def __init__(self, name: str, d: int, s: int, x_nd: Tensor, dead: Tensor | None, **config: object):
        trainer_class = getattr(lib.dictionary_learning, f"{name}Trainer")
        sizes = {"steps": 2 * MID_TRAINING, "activation_dim": d, "dict_size": s}
        self.trainer = trainer_class(**sizes, layer=0, lm_name="none", device=str(x_nd.device), **config)
        sae = self.trainer.ae
        W_enc, b_enc = (
            (sae.W_enc, sae.b_enc) if name == "JumpRelu" else (sae.encoder.weight.t(), sae.encoder.bias)
        )
        start(W_enc, b_enc, x_nd, limited="k" in config, dead=dead)
        if dead is not None:
            self.trainer.num_tokens_since_fired[dead] = LONG_AGO

    def __call__(self, x_nd: Tensor) -> None:
        self.trainer.update(MID_TRAINING, x_nd)


class Sparsify:
    """The body of `Trainer.fit`, which cannot be stepped without a language model; without its TF32."""

    def __init__(self, d: int, s: int, x_nd: Tensor, dead: Tensor | None, auxk_alpha: float = 0.0):
        self.sae = lib.sparsify.SparseCoder(
            d, lib.sparsify.SparseCoderConfig(num_latents=s, k=K), dtype=torch.float32
        ).to(x_nd.device)
        signum = lib.SignSGD(self.sae.parameters(), lr=5e-3 / (s / 2**14) ** 0.5)
        self.optimizer = lib.ScheduleFreeWrapper(signum, momentum=0.95)
        self.optimizer.train()
        start(self.sae.encoder.weight.t(), self.sae.encoder.bias, x_nd, limited=True, dead=dead)
        self.auxk_alpha, self.tokens_since_fired = (
            auxk_alpha,
            torch.zeros(s, dtype=torch.long, device=x_nd.device),
        )
        if dead is not None:
            self.tokens_since_fired[dead] = LONG_AGO

    def __call__(self, x_nd: Tensor) -> None:
        self.sae.set_decoder_norm_to_unit_norm()
        dead = self.tokens_since_fired > 10_000_000 if self.auxk_alpha else None
        out = self.sae(x=x_nd, y=x_nd, dead_mask=dead, total_variance=(x_nd - x_nd.mean(0)).pow(2).sum())
        fired = torch.zeros_like(self.tokens_since_fired, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        (out.fvu + self.auxk_alpha * out.auxk_loss + out.multi_topk_fvu / 8).backward()
        self.sae.remove_gradient_parallel_to_decoder_directions()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.tokens_since_fired += len(x_nd)
        self.tokens_since_fired[fired] = 0


class Overcomplete:
    """One batch of `train_sae`, with Adam as in its examples."""

    def __init__(
        self,
        name: str,
        criterion: Callable,
        d: int,
        s: int,
        x_nd: Tensor,
        dead: Tensor | None,
        **config: object,
    ):
        self.sae = getattr(lib.overcomplete, name)(d, s, **config, device=str(x_nd.device))
        linear = self.sae.encoder.final_block[0]
        start(linear.weight.t(), linear.bias, x_nd, limited="top_k" in config, dead=dead)
        self.criterion = partial(criterion, self.sae)
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=5e-4)

    def __call__(self, x_nd: Tensor) -> None:
        lib.overcomplete.train_sae(
            self.sae, [x_nd], self.criterion, self.optimizer, nb_epochs=1, monitoring=0
        )


def mse(sae, x, x_hat, pre_codes, codes, dictionary) -> Tensor:
    return (x - x_hat).square().mean()


def mse_l1(sae, *outputs: Tensor) -> Tensor:
    return lib.overcomplete.mse_l1(*outputs)


def mse_l0(sae, x, x_hat, pre_codes, codes, dictionary) -> Tensor:
    """The paper's loss for JumpReLU from overcomplete's own step function; the library has none itself."""
    steps = lib.overcomplete.heaviside(pre_codes, sae.thresholds.exp(), sae.kernel_fn, sae.bandwidth)
    return (x - x_hat).square().mean() + steps.sum(1).mean()


def contenders(batch: int) -> dict[str, dict[str, Callable]]:
    """By kind and library: (d, s, x_nd, dead) -> a step."""
    return {
        "TopK": {
            "sae-lens": partial(SAELens, "TopK", k=K),
            "sae-lens, sparse activations": partial(SAELens, "TopK", k=K, use_sparse_activations=True),
            "dictionary-learning": partial(DictionaryLearning, "TopK", k=K),
            "eai-sparsify": Sparsify,
            "overcomplete": partial(Overcomplete, "TopKSAE", mse, top_k=K),
        },
        "ReLU": {
            "sae-lens": partial(SAELens, "Standard"),
            "dictionary-learning": partial(DictionaryLearning, "Standard"),
            "overcomplete": partial(Overcomplete, "SAE", mse_l1),
        },
        "BatchTopK": {
            "sae-lens": partial(SAELens, "BatchTopK", k=K),
            "dictionary-learning": partial(DictionaryLearning, "BatchTopK", k=K),
            "overcomplete": partial(Overcomplete, "BatchTopKSAE", mse, top_k=K * batch),
        },
        "JumpReLU": {
            "sae-lens": partial(SAELens, "JumpReLU"),
            "dictionary-learning": partial(DictionaryLearning, "JumpRelu"),
            "overcomplete": partial(Overcomplete, "JumpSAE", mse_l0),
        },
        "TopK + AuxK": {
            "sae-lens": partial(SAELens, "TopK", k=K),
            "dictionary-learning": partial(DictionaryLearning, "TopK", k=K),
            "eai-sparsify": partial(Sparsify, auxk_alpha=1 / 32),
        },
    }


def compare(kind: str, d: int, s: int, batch: int, repeats: int, device: str) -> dict[str, dict]:
    torch.manual_seed(1)  # 0 draws the SAE, whose first directions would be these tokens
    x_nd = torch.randn(batch, d).to(device)
    steps = {"encoder_gemm": encoder_gemm(d, s, x_nd), **ours(architectures(d, s)[kind], "ours", x_nd)}
    failed = {}
    for name, make in contenders(batch)[kind].items():
        try:
            step = make(d, s, x_nd, half_dead(s) if kind == "TopK + AuxK" else None)
            step(x_nd)
        except Exception as error:
            failed[name] = {"error": shorten(f"{type(error).__name__}: {error}", 160)}
        else:
            steps[name] = step
    results = measure(steps, x_nd, repeats)
    theirs = [results[name]["ms"] for name in results if name != "encoder_gemm" and "ours" not in name]
    for name, result in results.items():
        if theirs and "ours" in name:
            result["times_fastest_peer"] = round(result["ms"] / min(theirs), 2)
    return results | failed


def main() -> None:
    keep_freed_memory()
    chosen = options(list(contenders(0)))
    results: dict[str, dict] = {}
    for shape in chosen.shapes:
        results[label(*shape)] = {}
        for kind in chosen.kinds:
            results[label(*shape)][kind] = compare(kind, *shape, chosen.repeats, chosen.device)
            gc.collect()  # trainers refer to themselves; at d 768 five of them hold several GB
    out = {
        "benchmark": "peers",
        **where(chosen.device),
        "versions": lib.VERSIONS,
        "repeats": chosen.repeats,
        "results": results,
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
