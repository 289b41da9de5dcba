"""Run a stage and write down what it calls of the project: `python -m tests.pipeline.trace OUT STAGE ...`."""

import json
import runpy
import sys
import threading
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]


def trace(out: str, stage: str) -> None:
    """Write (file, line, name) of every function called, but not by imports, to the JSON file `out`."""
    called, importing = set(), 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal importing
        code = frame.f_code
        if not code.co_filename.startswith(str(ROOT)) or event not in ("call", "return"):
            return
        if code.co_name == "<module>":
            if frame.f_globals["__name__"] != "__main__":
                importing += 1 if event == "call" else -1
        elif not importing:
            file = Path(code.co_filename).relative_to(ROOT)
            called.add((file.as_posix(), code.co_firstlineno, code.co_name))

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        runpy.run_module(f"pipeline.{stage}", run_name="__main__")
    finally:
        sys.setprofile(None)
        Path(out).write_text(json.dumps(sorted(called)))


if __name__ == "__main__":
    _, out, stage, *overrides = sys.argv
    sys.argv = [stage, *overrides]
    trace(out, stage)
