"""Outputs take their places whole and all together; nothing else is ever deleted."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saev import outputs as module
from saev.errors import SaevError
from saev.files import write_text
from saev.outputs import new_directory, staged
from saev.scratch import GONE
from tests.killing import killed_before

FILES = {r"mark\.json": '"ours"', r"more/\d+\.png": None}
OLD = {"mark.json": '{"ours": "old"}', "more/1.png": "old"}
NEW = {"mark.json": '{"ours": "new"}', "more/2.png": "new"}


def lay(folder: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Every file's text, every empty folder and every link below, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[name] = "empty"
    return found


def write(*paths: Path | str, content=NEW, files=FILES) -> None:
    with staged(*((path, files) for path in paths)) as made:
        for output in made:
            lay(output.path, content)


@pytest.fixture(params=["exchange", "two renames"])
def either_way(request, monkeypatch):
    """On a disk that can exchange two names in one step, and on one that cannot."""
    if request.param == "two renames":
        monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    return request.param


def test_the_system_here_can_exchange_names(tmp_path):
    if sys.platform != "linux":
        pytest.skip("not known of this system")
    lay(tmp_path / "a", {"1": "a"}), lay(tmp_path / "b", {"2": "b"})
    assert module._exchange(tmp_path / "a", tmp_path / "b")
    assert tree(tmp_path) == {"a/2": "b", "b/1": "a"}
    with pytest.raises(FileNotFoundError):
        module._exchange(tmp_path / "a", tmp_path / "none")


@pytest.mark.parametrize("before", [None, {}, OLD], ids=["nothing", "empty", "old"])
def test_the_new_replaces_the_old(before, tmp_path, either_way):
    target = tmp_path / "deep" / "out"
    if before is not None:
        target.mkdir(parents=True)
        lay(target, before)
    write(target)
    assert tree(tmp_path) == {f"deep/out/{name}": text for name, text in NEW.items()}


def test_a_file_is_an_output_too(tmp_path, either_way):
    for text in ('{"ours": 1}', '{"ours": 2}'):
        with staged((tmp_path / "deep/one.json", {"": '"ours"'})) as (output,):
            output.path.write_text(text)
        assert tree(tmp_path) == {"deep/one.json": text}
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SaevError, match="notes.txt: would be deleted, and is not of this program"):
        with staged((tmp_path / "notes.txt", {"": '"ours"'})):
            pass


FOREIGN = {
    "a note beside": {**OLD, "notes.txt": "mine"},
    "a note deep within": {**OLD, "more/below/notes.txt": "mine"},
    "a picture of another name": {**OLD, "more/holiday.png": "mine"},
    "a hidden file": {**OLD, ".env": "mine"},
    "somebody's repository": {".git/HEAD": "ref", "mark.json": "{}"},
    "the same names, other contents": {"mark.json": '{"theirs": 1}'},
    "names that anything may have": {"more/1.png": "mine"},
    "an empty mark": {"mark.json": "", "more/1.png": "mine"},
    "another stage's output": {"metrics.json": "{}"},
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_ours_is_refused_at_once_and_stays(content, tmp_path):
    lay(tmp_path / "out", content)
    before = tree(tmp_path)
    with pytest.raises(SaevError, match="out/.*: would be deleted, and .* of this program; move it away"):
        with new_directory(tmp_path / "out", FILES):
            pytest.fail("work was begun")
    assert tree(tmp_path) == before


def test_a_link_among_the_files_is_not_ours(tmp_path):
    mine = lay(tmp_path / "mine", {"thesis.tex": "years"})
    (lay(tmp_path / "out", OLD) / "elsewhere").symlink_to(mine)
    with pytest.raises(SaevError, match="out/elsewhere: would be deleted"):
        write(tmp_path / "out")


def test_what_is_laid_there_meanwhile_stays(tmp_path):
    """And of the other output, which could take its place, the old one as well."""
    for name in ("a", "b"):
        lay(tmp_path / name, OLD)
    with (
        pytest.raises(SaevError, match="b/notes.txt"),
        staged(*((tmp_path / n, FILES) for n in "ab")) as made,
    ):
        for output in made:
            lay(output.path, NEW)
        (tmp_path / "b" / "notes.txt").write_text("mine")
    assert tree(tmp_path) == {f"{o}/{n}": t for o in "ab" for n, t in OLD.items()} | {"b/notes.txt": "mine"}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", "an output must have a path, got ''"),
        (" ", "an output must have a path"),
        (None, "an output must have a path, got None"),
        (".", "would replace the working directory"),
        ("..", "would replace the working directory, or a folder that holds it"),
        ("/", "would replace"),
        ("../../x/..", "would replace"),
        ("data/..", "would replace"),
        ("~", "would replace the home directory"),
        ("~/..", "would replace"),
        ("here", "would replace the working directory"),  # a link to it
        ("circle", "no path for an output|Symlink loop|Too many levels"),
        ("nul\0", "no path for an output"),
    ],
)
def test_a_path_that_no_output_may_have(path, told, tmp_path, monkeypatch):
    cwd = lay(tmp_path / "study", {"notes.txt": "mine", "data/x": "mine"})
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("HOME", str(lay(tmp_path / "users" / "me", {"mail": "mine"})))
    Path("here").symlink_to(".")
    Path("circle").symlink_to("circle")
    before = tree(tmp_path)
    given = path and path.replace("~", str(Path.home()))
    with pytest.raises(SaevError, match=told):
        write(given)
    assert tree(tmp_path) == before


def test_a_mount_point_is_refused():
    here = Path.cwd()
    mounts = filter(os.path.ismount, ("/dev/shm", "/proc", "/boot", "/System", "/Volumes/Macintosh HD"))
    found = next((mount for mount in mounts if Path(mount) not in here.parents), None)
    if found is None:
        pytest.skip("nothing is mounted here")
    with pytest.raises(SaevError, match="a disk is mounted there"):
        write(found)


@pytest.mark.parametrize("pair", [("a", "a/b"), ("a", "./a"), ("a/b/c", "a")])
def test_outputs_within_each_other_are_refused(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaevError, match="is, or lies in, another output of the stage"):
        write(*pair)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("there", [True, False], ids=["whole", "dangling"])
def test_a_link_is_followed_to_its_target(there, tmp_path, either_way):
    (tmp_path / "big").mkdir()
    if there:
        lay(tmp_path / "big" / "store", OLD)
    (tmp_path / "out").symlink_to("big/store")
    write(tmp_path / "out")
    assert tree(tmp_path) == {"out": "-> big/store"} | {f"big/store/{n}": t for n, t in NEW.items()}


@pytest.mark.parametrize("fails", ["while it is made", "the first rename", "the last rename"])
def test_an_error_leaves_every_old_output_as_it_was(fails, tmp_path, monkeypatch, either_way):
    names = ("a", "b", "c")
    for name in names[:2]:
        lay(tmp_path / name, OLD)
    lay(tmp_path / "scratch" / "c", NEW)
    before = tree(tmp_path)
    original, calls = os.rename, []
    failing = tmp_path / {"the first rename": "a", "the last rename": "c"}.get(fails, "none")

    def rename(old, new):
        if not Path(new).name.startswith(GONE):  # what is deleted loses its name first
            calls.append(new)
        if Path(new) == failing and calls.count(new) == 1:  # what undoes it is let through
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(new))
        original(old, new)

    if fails == "the first rename":  # the first is an exchange where there is one
        monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(os, "rename", rename)
        with staged(*((tmp_path / name, FILES) for name in names)) as made:
            for output in made[:2]:
                lay(output.path, NEW)
            made[2].take(tmp_path / "scratch" / "c")
            if fails == "while it is made":
                raise OSError(errno.ENOSPC, "No space left on device", "x")
    assert tree(tmp_path) == before
    assert (fails == "while it is made") == (not calls)


def test_where_the_disk_fails_twice_the_next_run_brings_the_old_back(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    before = tree(lay(tmp_path, {f"out/{name}": text for name, text in OLD.items()}))
    original = os.rename

    def rename(old, new):
        if Path(new) == tmp_path / "out":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(new))
        original(old, new)

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(os, "rename", rename)
        write(tmp_path / "out")
    assert tree(tmp_path / "out.partial/old") == OLD
    with pytest.raises(ZeroDivisionError), new_directory(tmp_path / "out", FILES):
        1 / 0  # noqa: B018
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["notes.txt", "new/notes.txt", "old/notes.txt"])
def test_what_is_in_the_way_of_the_making_is_refused(name, tmp_path):
    before = tree(lay(tmp_path, {f"out.partial/{name}": "mine"}))
    with pytest.raises(SaevError, match=f"out.partial/{name.partition('/')[0]}: is in the way"):
        write(tmp_path / "out")
    assert tree(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path):
    lay(tmp_path, {"data": "a file"})
    told = pytest.raises(OSError, match="Not a directory|File exists")
    with told, new_directory(tmp_path / "data/out", FILES):
        pytest.fail("work was begun")
    assert tree(tmp_path) == {"data": "a file"}


def another_disk(tmp_path: Path) -> Path:
    import tempfile

    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to write to here")
    return Path(tempfile.mkdtemp(dir=shared))


def finish(tmp_path: Path, target: Path) -> None:
    """A stage whose work lies in scratch until all is done."""
    if not (tmp_path / "scratch").exists():
        lay(tmp_path / "scratch.new", NEW).rename(tmp_path / "scratch")
    with staged((tmp_path / "side", FILES), (target, FILES)) as (side, output):
        lay(side.path, NEW)
        output.take(tmp_path / "scratch")


def test_from_another_disk_it_comes_as_a_copy(tmp_path):
    elsewhere = another_disk(tmp_path)
    try:
        lay(elsewhere / "out", OLD)
        finish(tmp_path, elsewhere / "out")
        assert tree(elsewhere) == {f"out/{n}": t for n, t in NEW.items()}
        assert tree(tmp_path / "scratch") == NEW  # the stage's to delete
    finally:
        shutil.rmtree(elsewhere)


@pytest.mark.parametrize("disks", [1, 2])
@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
def test_killed_before_every_operation_the_old_or_the_new_is_there(disks, exchanges, tmp_path, monkeypatch):
    """A child killed with -9 before its first, second, ... file operation; then the work is done again."""
    if not exchanges:
        monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    base = tmp_path / "disk" if disks == 1 else another_disk(tmp_path)
    n, killed = 0, True
    while killed:
        n += 1
        cwd, far = tmp_path / str(n), base / str(n)
        lay(cwd / "side", OLD), lay(far / "out", OLD)
        killed = killed_before(n, lambda cwd=cwd, far=far: finish(cwd, far / "out"), cwd, far)
        for place, aside in ((cwd / "side", cwd), (far / "out", far)):
            # Where names cannot be exchanged the old one may be aside: the next run brings it back.
            if exchanges or place.exists():
                assert tree(place) in (OLD, NEW), n
            else:
                assert tree(aside / f"{place.name}.partial/old") == OLD, n
        assert not killed_before(None, lambda cwd=cwd, far=far: finish(cwd, far / "out"))
        assert tree(far / "out") == NEW and tree(cwd / "side") == NEW
        assert {path.name for path in cwd.iterdir()} - {"scratch", "scratch.new"} == {"side"}
        assert [path.name for path in far.iterdir()] == ["out"]
    assert n > 20
    if disks == 2:
        shutil.rmtree(base)


SLEEPER = """
import sys, time
from saev.outputs import new_directory
with new_directory(sys.argv[1], {}) as out:
    print("ready", flush=True)
    time.sleep(60)
"""


def test_two_processes_at_one_output(tmp_path):
    """The second is told so; when the first is killed its lock goes with it."""
    first = subprocess.Popen([sys.executable, "-c", SLEEPER, tmp_path / "out"], stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"ready\n"
        with pytest.raises(SaevError, match="another run is at work in .*out.partial; wait for it"):
            write(tmp_path / "out")
        assert (tmp_path / "out.partial" / "new").exists()  # the first one's is untouched
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    write(tmp_path / "out")
    assert tree(tmp_path) == {f"out/{n}": t for n, t in NEW.items()}


def test_ten_processes_at_once(tmp_path):
    """Each ends well or is told that another is at work; at the end the output is whole."""
    target = tmp_path / "out"

    def child() -> int:
        pid = os.fork()
        if pid == 0:
            code = 9
            try:
                for _ in range(20):
                    try:
                        write(target)
                        code = 0
                    except SaevError as error:
                        code = 0 if "another run is at work" in str(error) else 8
                    if code:
                        break
            finally:
                os._exit(code)
        return pid

    pids = [child() for _ in range(10)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 10
    assert tree(tmp_path) == {f"out/{n}": t for n, t in NEW.items()}


def test_without_locks_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("saev.scratch.fcntl", None)
    write(tmp_path / "out")
    assert "out.partial: cannot be locked" in capsys.readouterr().err
    assert tree(tmp_path / "out") == NEW


def test_the_umask_decides_on_the_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "out")
        write_text(tmp_path / "text", "x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out", "out/mark.json", "text")]
    assert modes == [0o750, 0o640, 0o640]


def test_time_is_not_lost_on_it(tmp_path):
    started = time.perf_counter()
    write(tmp_path / "out")
    assert time.perf_counter() - started < 1
