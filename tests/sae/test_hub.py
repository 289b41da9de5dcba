"""Checkpoints to and from the hub.

The upload is kept in a local folder, laid out as the hub's client lays out its cache; the download is the
client's own.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from saev.activations import Origin
from saev.errors import SaevError
from saev.sae import SAE, TopK, load_sae, push_sae, save_sae
from saev.sae.formats import load_sae_lens, save_sae_lens
from tests.documented import blocks


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache that `upload_folder` fills and `snapshot_download` reads, without a connection."""
    cache = tmp_path / "cache"

    class LocalApi:
        def create_repo(self, repo, private, exist_ok):
            (cache / f"models--{repo.replace('/', '--')}" / "refs").mkdir(parents=True, exist_ok=exist_ok)

        def repo_info(self, repo):
            return SimpleNamespace(private=repo != "you/public")

        def upload_folder(self, repo_id, folder_path, commit_message):
            home = cache / f"models--{repo_id.replace('/', '--')}"
            oid = f"{len(list(home.glob('snapshots/*'))):040x}"
            shutil.copytree(folder_path, home / "snapshots" / oid)
            (home / "refs" / "main").write_text(oid)
            return SimpleNamespace(oid=oid)

    monkeypatch.setattr(huggingface_hub, "HfApi", LocalApi)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def saved(folder: Path, seed: int) -> SAE:
    sae = SAE(TopK(d_sae=20, k=3), torch.ones(6), 1.5, seed=seed)
    sae.origin = Origin("a_vit", "0123", "64x64 px; 16 patch", 7, ("patch",), "photographs")
    save_sae(sae, folder, metrics={"val": {"nmse": 0.25, "l0": 3.0}})
    return sae


def test_pushed_saes_come_back_by_revision(hub, tmp_path):
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    first, second = saved(tmp_path / "a", 0), saved(tmp_path / "b", 1)
    addresses = [push_sae(tmp_path / name, "you/sae") for name in "ab"]
    assert torch.equal(load_sae(addresses[0]).encode(x), first.encode(x))
    assert torch.equal(load_sae(addresses[1]).encode(x), second.encode(x))
    assert torch.equal(load_sae("hf://you/sae").encode(x), second.encode(x))
    assert load_sae("hf://you/sae").origin == second.origin
    card = next(hub.rglob("README.md")).read_text()
    assert 'load_sae("hf://you/sae")' in card and "| nmse | 0.25 |" in card and "layer 7 of a_vit" in card


def test_the_lines_of_the_page_bring_back_what_they_push(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sae, names = saved(Path("data/sae/mosaic-dinov2_packaged-L10-topk"), 0), {}
    (block,) = (block for block in blocks("training.md") if block.language == "python")
    exec(block.text, names)
    assert names["address"].startswith("hf://you/dinov2-topk@")
    assert torch.equal(names["sae"].W_dec, sae.W_dec)


def test_what_the_hub_has_not_is_one_line(hub, tmp_path):
    for source in ("hf://you/nothing", "hf://not a name/at all/x", "hf://you/sae@f00"):
        with pytest.raises(SaevError, match=f"{source}: no SAE can be had there: .+") as raised:
            load_sae(source)
        assert "\n" not in str(raised.value)


def test_a_folder_within_a_repository(hub, tmp_path):
    folder = hub / "models--you--many" / "snapshots" / "f00"
    saved(folder / "layers" / "3", 3)
    save_sae_lens(load_sae(folder / "layers" / "3"), folder / "lens")
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("f00")
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    expected = load_sae(folder / "layers" / "3").encode(x)
    assert torch.equal(load_sae("hf://you/many/layers/3").encode(x), expected)
    torch.testing.assert_close(load_sae_lens("hf://you/many/lens").encode(x), expected)
    with pytest.raises(
        SaevError, match="hf://you/many/layers/4: no SAE can be had there: none of layers/4/config"
    ):
        load_sae("hf://you/many/layers/4")


def test_private_is_not_sent_to_a_public_repository(hub, tmp_path):
    saved(tmp_path / "a", 0)
    push_sae(tmp_path / "a", "you/secret", private=True)
    with pytest.raises(
        SaevError, match="hf://you/public: cannot be written to: it is public, and private=True was asked for"
    ):
        push_sae(tmp_path / "a", "you/public", private=True)


def test_nothing_damaged_is_pushed(hub, tmp_path):
    saved(tmp_path / "a", 0)
    (tmp_path / "a" / "sae.safetensors").write_bytes(b"")
    with pytest.raises(SaevError, match="does not hold the SAE"):
        push_sae(tmp_path / "a", "you/sae")
    assert not hub.exists()
