"""Work in a child of this process that kills itself with -9 before its n-th file operation."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

CHANGES = {f"os.{name}" for name in ("rename", "remove", "rmdir", "mkdir", "chmod", "truncate", "symlink")}
"""Audit events of Python's file operations that change something, beside `open` for writing; os.replace is
an os.rename to them. Exchanging two names is a call of the C library, looked up before."""


def killed_before(n: int | None, work: Callable[[], object], *roots: Path) -> bool:
    """Do the work in a child, to be killed before its n-th change (from 1) below the roots; None: never.

    Returns:
        Whether it was killed; else it must have ended well, having made fewer changes.
    """
    code = _ended(work, None if n is None else _Killer(n, roots))
    assert code in (0, -signal.SIGKILL), f"the child ended with {code}"
    return code != 0


def changes(work: Callable[[], object], *roots: Path) -> int:
    """How many changes below the roots the work makes, in a child."""
    with tempfile.TemporaryFile() as file:
        killer = _Killer(0, roots)

        def counted() -> None:
            work()
            os.write(file.fileno(), str(-killer.left).encode())

        assert _ended(counted, killer) == 0
        file.seek(0)
        return int(file.read())


def evenly(total: int, most: int) -> list[int]:
    """At most so many of 1 to `total`, the first and the last among them."""
    step = max(1, (total - 1) / max(1, most - 1))
    return sorted({1 + round(i * step) for i in range(min(total, most))})


def _ended(work: Callable[[], object], hook: Callable[[str, tuple], None] | None) -> int:
    """The exit code of a child that does the work, watched by the hook."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            log = os.open(os.devnull, os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if hook is not None:
                sys.addaudithook(hook)
            work()
            code = 0
        except SystemExit as error:
            code = 71 if isinstance(error.code, str) else error.code or 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class _Killer:
    def __init__(self, n: int, roots: tuple[Path, ...]):
        self.left, self.roots = n, tuple(str(root.resolve()) for root in roots)

    def __call__(self, event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in CHANGES:
            path, folder = os.fsdecode(args[0]), args[-1]
            if event in ("os.remove", "os.rmdir") and folder >= 0:  # shutil.rmtree names them within a folder
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        elif event == "ctypes.dlsym" and args[1] in ("renameat2", "renamex_np"):
            path = self.roots[0]
        else:
            return
        if os.path.abspath(os.fsdecode(path)).startswith(self.roots):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
