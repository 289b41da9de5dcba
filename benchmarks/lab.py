"""An edit request of the laboratory, over HTTP, from one client: the edit and its control in one pass.

python -m benchmarks.lab [--requests 200]      prints one JSON line; the embedded study must be finished

`dragging` is what a slider asks for while it moves (the edit and one control), `settled` what it asks for at
rest (both controls). `suffix` is the model alone, on as many copies of the image: what no request can be
faster than. Milliseconds; the image is open, as it is from the second request on.
"""

import argparse
import http.client
import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from benchmarks.train_step import where
from pipeline.cell import Cell
from pipeline.lab import opened
from saev.app import Bench, Session
from saev.app.changing import CONTROLS
from saev.app.kept import Cache
from saev.app.server import HOST, listening, server_of
from saev.machine.allocator import keep_freed_memory

LAYERS = (10, 4)
IMAGE = "3"


@contextmanager
def served(session: Session):
    with listening(0) as listener:
        server = server_of(session, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        connection = http.client.HTTPConnection(HOST, listener.getsockname()[1])
        yield connection
        connection.close()
        server.should_exit = True
        thread.join()


def request(connection: http.client.HTTPConnection, bench: Bench, i: int, controls: tuple[str, ...]) -> float:
    """Milliseconds of one, each with another strength."""
    latent = int(np.argmax(bench.profile.density_s))
    edit = {"latents": [latent], "strengths": [i % 200 / 10 - 10], "place": "all", "target": 0}
    body = json.dumps({"cell": bench.name, "image": IMAGE, "edit": edit | {"controls": controls}})
    began = time.perf_counter()
    connection.request("POST", "/api/edit", body, {"Origin": f"http://{HOST}:{connection.port}"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    return 1e3 * (time.perf_counter() - began)


def suffix(bench: Bench, copies: int) -> float:
    """Milliseconds of the model alone."""
    subject, images = bench.subject(IMAGE), torch.zeros(copies, dtype=torch.long)
    began = time.perf_counter()
    subject.model.logits(images)
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200)
    n, results = parser.parse_args().requests, {}
    for layer in LAYERS:
        with initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"):
            cell = Cell(compose("lab", [f"layer={layer}"]))
        name = cell.cfg.cell
        session = Session({name: lambda uploads, cell=cell: opened(cell, Cache(1), uploads)})
        bench = session.bench(name)
        for kind, controls in (("dragging", CONTROLS[:1]), ("settled", CONTROLS)):
            with served(session) as connection:
                for i in range(5):
                    request(connection, bench, i, controls)
                times = {"request": [], "suffix": []}
                for i in range(n):  # in turn, so that both meet the same load of the machine
                    times["request"].append(request(connection, bench, i, controls))
                    times["suffix"].append(suffix(bench, 1 + len(controls)))
            results[f"L{layer} {kind}"] = {
                f"{of}_p{q}": round(float(np.percentile(values, q)), 1)
                for of, values in times.items()
                for q in (50, 95)
            }
    print(json.dumps({"benchmark": "lab", **where("cpu"), "results": results}))


if __name__ == "__main__":
    main()
