"""Stores of a ViT with registers, of which some images could not be decoded."""

import pytest

from saev.activations import Store
from saev.data import Mosaic
from tests.activations.examples import MISSING, SPANS, Damaged, make


@pytest.fixture(scope="session")
def whole(registers, tmp_path_factory) -> Store:
    """20 scenes at layer 1, all four kinds of token, in chunks of 8."""
    images = Mosaic(split="train", n=20, size=84)
    return make(registers, tmp_path_factory.mktemp("whole"), images, tokens=list(SPANS))


@pytest.fixture(scope="session")
def damaged(registers, tmp_path_factory) -> Store:
    """The same without the images MISSING."""
    images = Damaged(MISSING, split="train", n=20, size=84)
    return make(registers, tmp_path_factory.mktemp("damaged"), images, corrupt="missing", tokens=list(SPANS))


@pytest.fixture(scope="session")
def second_chunk_missing(registers, tmp_path_factory) -> Store:
    """The same without images 8 to 15."""
    images = Damaged(range(8, 16), split="train", n=20, size=84)
    return make(registers, tmp_path_factory.mktemp("chunk"), images, corrupt="missing")
