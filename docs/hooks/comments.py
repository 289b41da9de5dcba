"""What the files of conf/ say in their comments."""

import re
from pathlib import Path


class Comments:
    """What a file says about itself at its head, and about its keys: above them, or to their right, where it
    may go on in the next lines, in the same column.

    Attributes:
        intro: what stands at the head, in lines.
    """

    def __init__(self, file: Path):
        lines = file.read_text().splitlines()
        head = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        self.intro = "\n".join(line.lstrip("# ") for line in lines[:head] if "@package" not in line)
        self._of: dict[str, str] = {}
        path: list[tuple[int, str]] = []
        column, above = 0, ""  # of the comment that may go on, and what was said above the next key
        for line in lines[head:]:
            mark = f" {line}".find(" # ")
            comment = line[mark + 2 :].strip() if mark >= 0 else ""
            if found := re.match(r"( *)([\w.]+):(?: |$)", line):
                indent = len(found[1])
                path = [*(level for level in path if level[0] < indent), (indent, found[2])]
                self._add(path, f"{above} {comment}")
                column, above = mark, ""
            elif line.lstrip().startswith("#") and mark == column > 0:
                self._add(path, comment)
            elif line.lstrip().startswith("#"):
                above = f"{above} {comment}"

    def _add(self, path: list[tuple[int, str]], comment: str) -> None:
        name = ".".join(key for _, key in path)
        self._of[name] = f"{self._of.get(name, '')} {comment}".strip()

    def of(self, name: str) -> str:
        """A key's, by its whole name, or by that within its section."""
        return self._of.get(name) or self._of.get(name.partition(".")[2], "")
