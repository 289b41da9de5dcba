"""From activations to SAEs: one run of the training, for any number of members."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import torch

from saev.activations.stream import ActivationStream
from saev.activations.tokens import Tokens
from saev.checks import check_seed
from saev.errors import SaevError
from saev.machine.machine import Machine
from saev.machine.memory import check_memory
from saev.machine.progress import say
from saev.sae.model import SAE, Architecture
from saev.sae.trained import Trained
from saev.training.options import REPEATS, Training


class Member(NamedTuple):
    """One SAE to be trained, or baseline to be fitted."""

    name: str
    architecture: Architecture
    seed: int | None = None
    """Of what it starts from; None: that of the run. The stream is the run's for all."""


class Fitted(NamedTuple):
    """What became of a member."""

    sae: SAE
    """On the CPU, without gradients."""
    curve: list[dict[str, float | str]]
    """Records {step, sae, loss, mse, l0, dead} (SAETraining); empty for a baseline."""


def fit(
    members: Sequence[Member] | Mapping[str, Architecture],
    tokens: Tokens,
    *,
    options: Training,
    seed: int,
    machine: Machine,
    working: Path,
) -> dict[str, Fitted]:
    """Train the members on one stream of `tokens`, or fit those that are baselines.

    Each gets, byte for byte, what it would get alone.

    Args:
        members: under different names.
        seed: of the initial directions and of the shuffle.
        working: directory of the checkpoint. If a run dies, the next one with the same `working`
            continues from it and ends in the same bytes.

    Returns:
        {name: Fitted} on the first process, {} on the others.

    Raises:
        SaevError: members of one name, or too large for the memory; a seed below 0 or above 2^32 - 1; devices
            that are not there; activations that are all alike, or fewer than the latents that start from
            them; a loss that is not finite; a checkpoint of another run.
        OSError: the checkpoint cannot be written.
    """
    # Lightning, two seconds that who asks for the names of floors need not wait.
    from saev.training.latent_parallel import join_shards
    from saev.training.loop import Loop

    named = _by_name(members, check_seed(seed))
    mean, scale = tokens.normalisation()
    if not 0 < scale < float("inf"):
        raise SaevError(
            f"{tokens.path}: layer {tokens.layer} has scale {scale}: its activations are all alike, or NaN"
        )
    if machine.parallel == "latents":
        _check_divisible({name: architecture for name, (architecture, _) in named.items()})
    options = options.for_vectors(tokens.n_vectors)
    for name, (architecture, _) in named.items():
        _check_fits(name, architecture, len(mean), options.batch_size, machine)
    loop = Loop(options, machine, working)

    def start(name: str, shard: tuple[int, int] = (0, 1)) -> SAE:
        (architecture, own_seed), at = named[name], (torch.from_numpy(mean), scale)
        sae = SAE(architecture, *at, seed=own_seed, precision=options.precision, shard=shard)
        initialise(sae, tokens, options.window, own_seed)
        return sae

    trained = {
        name: start(name, loop.shard)
        for name, (architecture, _) in named.items()
        if isinstance(architecture, Trained)
    }
    stream = partial(
        ActivationStream, tokens, batch_size=options.batch_size, window=options.window, seed=seed
    )
    if trained and (repeats := options.repeats(tokens.n_vectors)) > REPEATS:
        say(f"train: {options.n_steps:,} steps see every token {repeats:,.0f} times; fewer would do")
    curves = loop.run(trained, stream) if trained else {}
    trained = {name: join_shards(sae) for name, sae in trained.items()}
    if not loop.is_first:
        return {}
    fitted = {}
    for name in named:
        sae = trained[name] if name in trained else start(name)
        sae.origin = tokens.origin
        fitted[name] = Fitted(sae.eval().requires_grad_(False), curves.get(name, []))
    return fitted


def initialise(sae: SAE, tokens: Tokens, window: int, seed: int) -> None:
    """Show an SAE as many activations as its architecture wants to start from."""
    architecture, z_md = sae.architecture, torch.zeros(0, sae.d)
    if architecture.sample_size:
        available = tokens.n_vectors
        if available < architecture.d_sae:
            raise SaevError(
                f"{tokens.path}: {available} activations are too few to initialise "
                f"sae.d_sae={architecture.d_sae} latents"
            )
        sample = min(available, architecture.sample_size)
        stream = ActivationStream(tokens, batch_size=sample, window=window, seed=seed)
        z_md = sae.normalise(next(iter(stream)))
    architecture.initialise(sae, z_md, seed)


def _by_name(
    members: Sequence[Member] | Mapping[str, Architecture], seed: int
) -> dict[str, tuple[Architecture, int]]:
    """The members' architectures, each with a seed."""
    listed = starmap(Member, members.items()) if isinstance(members, Mapping) else members
    full = [Member(*member) for member in listed]
    named = {m.name: (m.architecture, seed if m.seed is None else m.seed) for m in full}
    if len(named) < len(full):
        names = ", ".join(member.name for member in full)
        raise SaevError(f"training: every member needs a name of its own, got {names}")
    return named


def _check_fits(name: str, architecture: Architecture, d: int, batch_size: int, machine: Machine) -> None:
    """Raise SaevError if a member cannot be held: two matrices of d x s float32, in training with a gradient
    and Adam's two averages each, and the pre-activations of a batch."""
    s, trained = architecture.d_sae, isinstance(architecture, Trained)
    if machine.parallel == "latents" and machine.devices != "auto":
        s /= machine.devices * machine.num_nodes
    n_bytes = (32 * d + 4 * batch_size) * s if trained else 8 * d * s
    check_memory(f"{name}: sae.d_sae={architecture.d_sae} of width {d}", n_bytes, machine.device)


def _check_divisible(architectures: Mapping[str, Architecture]) -> None:
    """Raise SaevError for a member whose latents cannot be divided among devices."""
    for name, architecture in architectures.items():
        if isinstance(architecture, Trained) and architecture.optimizer == "muon":
            raise SaevError(
                f"{name}: sae.optimizer must be adam where machine.parallel is latents, got 'muon', "
                "which needs whole matrices"
            )
