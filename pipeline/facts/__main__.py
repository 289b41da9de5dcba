"""The command; its package says what for."""

import gc
import json
import sys
from pathlib import Path

from pipeline.facts.study import collect, grid
from saev.errors import SaevError
from saev.files import write_json

FACTS = Path("facts.json")


def main(*options: str) -> None:
    gc.disable()  # syntax trees are many small objects, none of them garbage
    try:
        if options:
            raise SaevError(
                f"facts has no options, got {' '.join(options)}; it is of the study in this folder"
            )
        facts = collect(grid(Path("conf/study.yaml")))
        if not FACTS.exists() or json.loads(FACTS.read_text()) != facts:
            write_json(FACTS, facts)
    except SyntaxError as error:
        sys.exit(f"error: {error.filename}:{error.lineno}: {error.msg}")
    except (OSError, SaevError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
