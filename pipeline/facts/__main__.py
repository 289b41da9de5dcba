"""The command; its package says what for."""

import gc
import json
import sys
from pathlib import Path

from pipeline.facts.study import collect, grid
from saev.errors import SaevError
from saev.files import write_json


def main(*arguments: str) -> None:
    gc.disable()  # syntax trees are many small objects, none of them garbage
    try:
        options = dict(argument.partition("=")[::2] for argument in arguments)
        root = options.pop("root", "")
        if options:
            raise SaevError(
                f"facts takes root=<folder of a study> and nothing else, got {' '.join(arguments)}"
            )
        facts, file = collect(grid(Path(root, "conf/study.yaml"))), Path(root, "facts.json")
        if not file.exists() or json.loads(file.read_text()) != facts:
            write_json(file, facts)
    except SyntaxError as error:
        sys.exit(f"error: {error.filename}:{error.lineno}: {error.msg}")
    except (OSError, SaevError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
