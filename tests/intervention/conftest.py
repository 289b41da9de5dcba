import numpy as np
import pytest

from saev.intervention import Setup
from tests.intervention.examples import opened


@pytest.fixture(scope="session")
def setup(stores, tiny_vit, task) -> Setup:
    """An SAE on patches, a task on patches, all 12 validation images in another order."""
    return opened(stores, tiny_vit, task, images=np.array([3, 0, 11, 7, 8, 1, 2, 10, 4, 5, 6, 9]))


@pytest.fixture(scope="session")
def setup_of_images(stores, tiny_vit, image_task) -> Setup:
    """An SAE on patches, a task on images."""
    return opened(stores, tiny_vit, image_task)


@pytest.fixture(scope="session")
def setup_of_cls(stores, tiny_vit, image_task) -> Setup:
    """An SAE on cls tokens, a task on images."""
    return opened(stores, tiny_vit, image_task, ("cls",))
