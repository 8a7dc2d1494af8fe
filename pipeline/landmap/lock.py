"""One run at a time for each output, and what a killed one left behind is swept up."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from landmap.errors import OutputError


def hidden_prefix(path: Path) -> str:
    """How the names of hidden files and folders begin that a run makes beside its output."""
    return f".{path.name}.landmap-"


def make_folder(path: Path) -> Path:
    """Make a hidden temporary folder beside an output; `locked` sweeps it up should the run be killed.

    Raises:
        OSError: The folder around it is not there or not writable.
    """
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=hidden_prefix(path)))


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """A folder of `make_folder` that is removed at the end.

    Raises:
        OutputError: The folder around it is not there or not writable.
    """
    try:
        folder = make_folder(path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(paths: Sequence[Path]) -> Iterator[None]:
    """Hold outputs for this run alone, and remove the temporary folders of runs of them that were killed.

    The system drops a lock when its process ends, however it ends. A hidden file beside the output carries it; that is
    removed at the end, and means nothing where a killed run left it. Names are told apart as they would be written: by
    the real folder, while a link in place of the output is replaced, not followed.

    Raises:
        OutputError: Another run is writing one of them, or the folder is not writable.
    """
    real = [path.parent.resolve() / path.name for path in paths]
    with ExitStack() as stack:
        for path in real:
            stack.enter_context(_locked(path))
        for path in real:
            _sweep(path)
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path.with_name(hidden_prefix(path) + "lock")))
        except Timeout as error:
            raise OutputError(
                f"{path}: another run is writing it. Wait for its end, or choose another output"
            ) from error
        except OSError as error:
            raise OutputError(f"{path}: can't be written: {error.strerror or error}") from error
        yield


@contextmanager
def held(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which is removed at the end. The system drops the lock when its process ends, however it ends.

    Args:
        file: Whose existence alone means nothing.
        wait: Until it is free.

    Raises:
        Timeout: Somebody holds it, and `wait` is not set.
        OSError: It can't be made.
    """
    lock = FileLock(file, blocking=wait)
    lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        # While it is held: who opened it before finds that it has no name any more, and tries again (filelock 4).
        with suppress(OSError):
            file.unlink()
        lock.release()


def _sweep(path: Path) -> None:
    """Remove what `make_folder` made for an output whose lock is held."""
    name = re.compile(re.escape(hidden_prefix(path)) + r"\w{8}")  # as tempfile.mkdtemp ends it
    with suppress(OSError):  # a folder that may be written to, but not listed
        for folder in path.parent.iterdir():
            if name.fullmatch(folder.name) and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
