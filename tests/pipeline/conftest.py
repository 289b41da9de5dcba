"""What several files of tests run on: a model, a finished study."""

import json
from pathlib import Path

import pytest

from tests.pipeline.study import finish


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A finished study, which is only copied."""
    return finish(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def towers(tmp_path_factory) -> None:
    """A small model of open_clip, with a name in its registry."""
    import open_clip

    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 64, "patch_size": 16, "width": 32, "head_width": 16, "layers": 6}
    folder = tmp_path_factory.mktemp("towers")
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder / "study-tower.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
