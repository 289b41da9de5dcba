"""A tiny cell on the bench, and a laboratory that serves it within the process."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from starlette.testclient import TestClient

from saev.app import Bench, Session
from saev.app.routes import Lab, application
from saev.data import Mosaic
from saev.features import Codes, Profile
from tests.activations.examples import CPU
from tests.intervention.examples import codes_of, sae_of

PORT = 8000
HOME = f"http://127.0.0.1:{PORT}"
CELL = "mosaic-tiny-L1-topk"


def bench_of(stores, backbone, task, kinds=("patch",), layer=1, **changes) -> Bench:
    """An SAE with random directions on the small stores of tests/conftest.py."""
    train, val = (stores[split].tokens(layer, kinds) for split in ("train", "val"))
    sae = sae_of(train)
    profile = profile_of(codes_of(sae, train))
    liveliest = np.argsort(-profile.density_s, kind="stable")
    evidence = tuple(
        {"kind": "classes", "name": name, "latent": int(s), "f1": 0.5, "low": 0.4, "high": 0.6, "q": 0.01}
        for name, s in zip(task.classes if task else ("cat", "dog"), liveliest, strict=False)
    )
    parts = {"sae": sae, "backbone": backbone, "tokens": val, "task": task, "machine": CPU}
    parts |= {"profile": profile, "val": codes_of(sae, val)}
    images = Mosaic(split="val", n=12, size=64)
    return Bench(**{"name": CELL, "images": images, "evidence": evidence, **parts, **changes})


def profile_of(train: Codes) -> Profile:
    """What the bench asks of it; the rest is empty."""
    rest = dict.fromkeys(Profile._fields, np.zeros(0))
    return Profile(**{**rest, "density_s": train.density, "maximum_s": train.maximum})


@contextmanager
def served(benches: dict[str, Bench], folder) -> Iterator[TestClient]:
    """A client of the laboratory, from its own page."""

    def opener(bench):
        def opened(uploads):
            vars(bench)["uploads"] = uploads
            return bench

        return opened

    session = Session({name: opener(bench) for name, bench in benches.items()}, folder)
    lab = Lab(session)
    with TestClient(application(lab, PORT), base_url=HOME, headers={"origin": HOME}) as client:
        client.lab = lab
        yield client
