"""A dictionary in two processes has the loss and the gradients of one."""

import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from saev.sae import TopK
from saev.sae.kernels.shards import local_width
from saev.sae.objective import objective
from tests.sae.examples import ARCHITECTURES, S, build


def shard_of(tensor, shard):
    """A shard's part of a parameter of the whole; b_dec is not divided."""
    dim = next((i for i, length in enumerate(tensor.shape) if length == S), None)
    return tensor if dim is None else tensor.movedim(dim, 0)[shard::2].movedim(0, dim)


DEAD = {"a third": torch.arange(S) % 3 == 0, "of one shard only": torch.arange(S) % 4 == 0}
CASES = [
    (*case, where)
    for case in (*ARCHITECTURES, (TopK(d_sae=S, k=5, random_prefixes=3), 0.0))
    for where in DEAD
    if case[0].aux_k or where == "a third"
]


def work(shard, store, results):
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, 2), rank=shard, world_size=2, timeout=timedelta(seconds=60)
    )
    out = []
    for architecture, bias, where in CASES:
        whole, x = build(architecture, bias=bias)
        sae = type(whole)(architecture, whole.mean, whole.scale.item(), shard=(shard, 2)).to(x.dtype)
        sae.load_state_dict(
            {name: shard_of(value, shard).clone() for name, value in whole.state_dict().items()}
        )
        got = objective(sae, x, 0.25, step=3, dead=DEAD[where][shard::2])
        grads = torch.autograd.grad(got.loss, list(sae.parameters()))
        out.append(
            (
                got.loss.detach(),
                got.mse,
                got.l0,
                got.fired,
                dict(sae.named_buffers()),
                {n: g for (n, _), g in zip(sae.named_parameters(), grads, strict=True)},
            )
        )
    torch.save(out, f"{results}/{shard}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    environment = dict(os.environ)
    os.environ["OMP_NUM_THREADS"] = "1"
    mp.spawn(work, (str(folder / "store"), str(folder)), nprocs=2)
    os.environ.clear()
    os.environ.update(environment)
    return [torch.load(folder / f"{shard}.pt", weights_only=True) for shard in range(2)]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_two_shards_have_the_gradients_of_the_whole(shards, case):
    architecture, bias, where = CASES[case]
    whole, x = build(architecture, bias=bias)
    expected = objective(whole, x, 0.25, step=3, dead=DEAD[where])
    grads = dict(
        zip(
            (n for n, _ in whole.named_parameters()),
            torch.autograd.grad(expected.loss, list(whole.parameters())),
            strict=True,
        )
    )
    parts = [shards[shard][case] for shard in range(2)]
    for shard, (loss, mse, l0, fired, buffers, own) in enumerate(parts):
        torch.testing.assert_close(loss, expected.loss.detach())
        torch.testing.assert_close(mse, expected.mse)
        torch.testing.assert_close(l0, expected.l0)
        assert torch.equal(fired, expected.fired[shard::2])
        for name, value in whole.named_buffers():  # BatchTopK's threshold among them
            torch.testing.assert_close(buffers[name], value)
        for name in grads.keys() - {"b_dec"}:
            torch.testing.assert_close(
                own[name], shard_of(grads[name], shard), msg=lambda m, name=name: f"{name}: {m}"
            )
    torch.testing.assert_close(parts[0][-1]["b_dec"] + parts[1][-1]["b_dec"], grads["b_dec"])


def test_prefixes_are_divided_evenly():
    assert [[local_width(width, shard, 3) for shard in range(3)] for width in (1, 2, 7, 9)] == [
        [1, 0, 0],
        [1, 1, 0],
        [3, 2, 2],
        [3, 3, 3],
    ]
