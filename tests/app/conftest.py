import pytest

from saev.app import Bench
from tests.app.examples import CELL, bench_of, served


@pytest.fixture(scope="session")
def bench(stores, tiny_vit, task) -> Bench:
    """An SAE and a task on patches."""
    return bench_of(stores, tiny_vit, task)


@pytest.fixture(scope="session")
def bench_of_images(stores, tiny_vit, image_task) -> Bench:
    """A task on images."""
    return bench_of(stores, tiny_vit, image_task)


@pytest.fixture
def client(bench, tmp_path):
    with served({CELL: bench}, tmp_path) as opened:
        yield opened
