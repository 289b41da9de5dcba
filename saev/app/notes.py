"""Notes on latents: `notes/<cell>.yaml`, a file of the reader's own, in git; one entry is written."""

import json
from pathlib import Path

import yaml

from saev.errors import SaevError, first_line
from saev.files import write_text

LONGEST = 4000


def read_notes(path: str | Path) -> dict[int, str]:
    """{latent: text}. Raises SaevError if the file is something else."""
    file = Path(path)
    return _parsed(_text(file), file)


def write_note(path: str | Path, latent: int, text: str) -> None:
    """Set the note of one latent; every other character of the file, comments too, stays as it is.

    Raises:
        SaevError: the text is too long, or the file is no file of notes.
    """
    if len(text) > LONGEST:
        raise SaevError(f"a note must have at most {LONGEST} characters, got {len(text)}")
    file = Path(path)
    old = _text(file)
    wanted = {**_parsed(old, file), latent: text}
    quoted = json.dumps(text)  # a string of JSON is one of YAML, on one line
    node = yaml.compose(old)
    for key, value in node.value if node else ():
        if key.value == str(latent):
            begin, end = value.start_mark.index, value.end_mark.index
            gap = "\n" if old[begin:end].endswith("\n") else ""
            new = old[:begin] + quoted + gap + old[end:]
            break
    else:
        new = old + ("\n" if old and not old.endswith("\n") else "") + f"{latent}: {quoted}\n"
    if _parsed(new, file) != wanted:  # anchors, or braces over several lines: not ours to write in
        raise SaevError(f'{path}: cannot be added to; write each note on a line, as in 12: "stripes"')
    write_text(file, new)


def _text(file: Path) -> str:
    """Of a file that is not there, none."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SaevError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SaevError(f"{file}: must be UTF-8: {first_line(error)}") from None


def _parsed(text: str, file: Path) -> dict[int, str]:
    try:
        notes = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of the 13th month, for one
        raise SaevError(f"{file}: no YAML: {first_line(error)}") from None
    if not isinstance(notes, dict) or not all(
        type(latent) is int and isinstance(note, str) for latent, note in notes.items()
    ):
        raise SaevError(f'{file}: must hold notes by latent, as in 12: "stripes"')
    return notes
