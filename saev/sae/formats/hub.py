"""Checkpoints on the Hugging Face hub: one repository holds one SAE, `hf://owner/name` or `hf://owner/name@revision`."""

import json
import tempfile
from pathlib import Path

from saev.errors import SaevError

SCHEME = "hf://"
FILES = ["config.json", "sae.safetensors"]
CARD = """---
library_name: saev
tags: [sparse-autoencoder, interpretability, vision]
---
# {architecture} SAE on layer {layer} of {backbone}

{d_sae} latents on activations of width {d}.

```python
from saev.sae import load_sae

sae = load_sae("hf://{repo}")
f = sae.encode(x)  # raw activations (n, {d}) -> codes (n, {d_sae}); it owns their normalisation
```

{metrics}
"""


def push_sae(path: str | Path, repo: str, *, private: bool = False) -> str:
    """Upload the checkpoint folder `path` and a card with its metrics to the repository `repo`, made if it is not there.

    Returns:
        The address for `load_sae`, with the revision that was made.

    Raises:
        SaevError: no checkpoint there, or the hub refuses.
    """
    from huggingface_hub import HfApi

    from saev.sae.formats.checkpoint import load_sae

    load_sae(path)  # nothing damaged is uploaded
    config = json.loads(Path(path, "config.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        for file in FILES:
            Path(folder, file).symlink_to(Path(path, file).resolve())
        Path(folder, "README.md").write_text(_card(config, repo))
        try:
            api = HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            if private and not api.repo_info(repo).private:  # creating what exists has changed nothing
                raise SaevError("it is public, and private=True was asked for")
            made = api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=f"Upload a {config['architecture']} SAE"
            )
        except Exception as error:  # the hub's, its HTTP library's, SaevError
            raise SaevError(f"{SCHEME}{repo}: cannot be written to: {_first_line(error)}") from None
    return f"{SCHEME}{repo}@{made.oid}"


def fetch(source: str) -> Path:
    """Download a checkpoint, or find it in the hub's cache, and return its folder.

    Raises:
        SaevError: no such repository or revision, or no connection.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = source.removeprefix(SCHEME).partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=FILES))
    except Exception as error:  # the hub's and its HTTP library's
        raise SaevError(f"{source}: no SAE can be had there: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _card(config: dict, repo: str) -> str:
    measured = config.get("metrics", {})
    numbers = measured.get("val", measured)  # the train stage keeps validation and training apart
    rows = [f"| {name} | {value:.4g} |" for name, value in numbers.items() if isinstance(value, (int, float))]
    return CARD.format(
        repo=repo,
        architecture=config["architecture"],
        layer=config.get("layer", "?"),
        backbone=config.get("backbone", "?"),
        d=config["d"],
        d_sae=config["options"]["d_sae"],
        metrics="\n".join(["| metric | |", "| --- | --- |", *rows]) if rows else "",
    )
