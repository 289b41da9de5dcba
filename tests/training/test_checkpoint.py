"""A run that dies goes on to the bytes of one that did not; no damage to its checkpoint changes them."""

import os
import pickle
import re

import pytest
import torch

from saev.errors import SaevError
from saev.sae import TopK
from saev.training.steps import SAETraining
from tests.training.members import EVERY, FEW, OPTIONS, same, train


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def tokens(stores):
    return stores["train"].tokens(2)


@pytest.fixture(scope="module")
def undisturbed(tokens, tmp_path_factory):
    return train(tokens, FEW, tmp_path_factory.mktemp("undisturbed"))


def killed_at(step, tokens, working, members=FEW):
    """Leave in `working` what a run leaves that dies in a step."""

    def die(self, *args):
        if self.global_step == step:
            raise Killed
        return original(self, *args)

    original = SAETraining.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SAETraining, "training_step", die)
        with pytest.raises(Killed):
            train(tokens, members, working)
    return working / "last.ckpt"


def test_a_run_that_died_goes_on_to_the_same_bytes_and_says_so(tokens, tmp_path, capsys):
    """With what remembers most: two optimisers, silent latents, a running threshold."""
    members = {name: EVERY[name] for name in ("muon", "batchtopk")}
    last = killed_at(19, tokens, tmp_path / "died", members)
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]
    capsys.readouterr()
    assert same(train(tokens, members, last.parent), train(tokens, members, tmp_path / "undisturbed"))
    assert capsys.readouterr().err == f"train: continues at step 16 of 30 from {last}\n"


def test_a_run_that_died_after_its_last_step_is_over(tokens, tmp_path):
    working, members = tmp_path / "w", {"topk": EVERY["topk"]}
    options = type(OPTIONS)(**{**vars(OPTIONS), "checkpoint_every": 10})
    first = train(tokens, members, working, options)  # its last checkpoint is that of step 30
    assert same(train(tokens, members, working, options), first)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("nothing of the kind"),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"state_dict": {}})),
    "flipped bit": flip,
    "another object": lambda path: torch.save({"state_dict": Killed}, path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_dropped_with_one_line(damage, tokens, tmp_path, undisturbed, capsys):
    last = killed_at(9, tokens, tmp_path)
    DAMAGE[damage](last)
    capsys.readouterr()
    assert same(train(tokens, FEW, tmp_path), undisturbed)
    (line,) = capsys.readouterr().err.splitlines()
    why = (
        "holds other things than tensors and plain values"
        if damage == "another object"
        else r"is damaged \(.+\)"
    )
    assert re.fullmatch(f"train: {re.escape(str(last))} {why}; starts anew", line)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"topk": EVERY["topk"]}, "is of topk, relu, this run is of topk; delete it"),
        (
            FEW | {"topk": TopK(d_sae=48, k=7, lr=2e-3)},
            "is of topk, relu with other options; delete it",
        ),
        ({"x": EVERY["topk"]}, "is of topk, relu, this run is of x; delete it"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(members, told, tokens, tmp_path):
    last = killed_at(9, tokens, tmp_path)
    before = last.read_bytes()
    with pytest.raises(SaevError, match=f"{last}: the checkpoint {told} to start anew"):
        train(tokens, members, tmp_path)
    assert last.read_bytes() == before


def test_a_full_disk_leaves_the_checkpoint_before_and_names_the_file(
    tokens, tmp_path, undisturbed, monkeypatch
):
    """The disk fills while the checkpoint of step 16 is written."""
    save, last = torch.save, tmp_path / "last.ckpt"

    def fill(checkpoint, file):
        if checkpoint["global_step"] == 16:
            file.write(b"half of it")
            with open("/dev/full", "wb", buffering=0) as full:
                full.write(b"x")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match="No space left on device") as raised:
        train(tokens, FEW, tmp_path)
    assert raised.value.filename == str(last)
    assert list(tmp_path.iterdir()) == [last] and torch.load(last, weights_only=True)["global_step"] == 8
    monkeypatch.undo()
    assert same(train(tokens, FEW, tmp_path), undisturbed)


def test_nothing_goes_through_the_temporary_directory(tokens, tmp_path, monkeypatch):
    """Which may be small, or on another disk, where a rename is a copy that may be cut."""
    replaced = []
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda old, new: replaced.append((str(old), str(new))) or replace(old, new)
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    train(tokens, {"topk": EVERY["topk"]}, tmp_path / "new folder")
    last = tmp_path / "new folder" / "last.ckpt"
    assert set(replaced) == {(f"{last}.partial", str(last))} and len(replaced) == 3


def test_a_checkpoint_names_its_members_and_holds_their_curves(tokens, tmp_path):
    found = torch.load(killed_at(29, tokens, tmp_path), weights_only=True)
    assert found["members"] == {name: str(architecture) for name, architecture in FEW.items()}
    assert [point["step"] for point in found["curves"]["relu"]] == [0, 20]
