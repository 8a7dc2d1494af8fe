"""The frozen graphs of one model file, kept in the user's cache: Keras is not needed again to run them.

Files are found by all that decides what is in them: the model file, the versions of TensorFlow and Keras, and the code
that prepares networks. The variable LANDMAP_CACHE names another folder; "off" keeps nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from landmap_models.inference.session import Graph, c_library
from landmap_models.publish import published

LOG = logging.getLogger("landmap")
VARIABLE = "LANDMAP_CACHE"
MOST_BYTES = 300_000_000
"""Size of all files; the ones that were not used for longest are removed beyond it."""


class Graphs:
    """The frozen graphs of a model, by name. The caller sees to it that one thread at a time asks."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep graphs in memory, and in a folder.

        Args:
            folder: The folder of one model file, which need not exist; None: graphs are kept in memory alone.
        """
        self._folder = folder
        self._made: dict[str, Graph] = {}

    @property
    def any_stored(self) -> bool:
        """Whether a graph of the model file was stored, so that the file has been loaded and checked before."""
        return self._folder is not None and any(map(_is_own, self._folder.glob("*.graph")))

    def get(self, name: str, make: Callable[[], Graph]) -> Graph:
        """The graph of a name.

        Args:
            name: Of what it is made besides the model file, in letters that a file's name may have.
            make: Makes the graph if it is not there yet.
        """
        if name not in self._made:
            self._made[name] = self._stored(name) or self._store(name, make())
        return self._made[name]

    def _stored(self, name: str) -> Graph | None:
        """The graph in the folder; None where there is none, or a damaged one."""
        if self._folder is None:
            return None
        path = self._folder / f"{name}.graph"
        if not _is_own(path):
            return None
        with suppress(OSError, ValueError):
            digest, ends, content = path.read_bytes().split(b"\n", 2)
            if hashlib.sha256(ends + b"\n" + content).hexdigest().encode() == digest:
                os.utime(path)
                return Graph(content, *ends.decode().split())
        return None

    def _store(self, name: str, graph: Graph) -> Graph:
        if self._folder is not None:
            whole = f"{graph.input} {graph.output}\n".encode() + graph.content
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                with published(self._folder / f"{name}.graph") as temporary:
                    temporary.write_bytes(hashlib.sha256(whole).hexdigest().encode() + b"\n" + whole)
                _drop_oldest(self._folder.parent)
            except OSError as error:  # a home that can't be written costs time, nothing else
                LOG.debug("graphs are not kept for the next run: %s", error)
        return graph


def graphs_of(path: str | Path) -> Graphs:
    """The graphs of a model file.

    Args:
        path: The `.keras` file; whatever changes in it makes its graphs others.
    """
    root = _root()
    if root is None or c_library() is None:
        return Graphs()
    try:
        with Path(path).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        key = hashlib.sha256(f"{content} {_makers()}".encode()).hexdigest()
    except (OSError, PackageNotFoundError):  # whoever loads the model says so
        return Graphs()
    return Graphs(root / "graphs" / key[:32])


@lru_cache(maxsize=1)
def _makers() -> str:
    """What makes graphs of models: TensorFlow, Keras, and the modules of this package that prepare networks."""
    package = Path(__file__).parents[1]
    sources = [path for name in ("inference", "architectures") for path in sorted((package / name).glob("*.py"))]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return f"{c_library().TF_Version().decode()} {version('keras')} {code}"


def _root() -> Path | None:
    """The folder of the cache; None where nothing is to be kept."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return None if named.lower() in ("", "0", "no", "off") else Path(named)
    caches = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(caches or Path.home() / ".cache", "landmap")
    except RuntimeError:  # no home
        return None


def _is_own(path: Path) -> bool:
    """Whether a file is there and is this user's: a graph may do what a program may."""
    try:
        return path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _drop_oldest(folder: Path) -> None:
    """Remove the files that were not used for longest, and folders left empty."""
    found = [(path.stat(), path) for path in folder.glob("*/*.graph")]
    kept = sum(stat.st_size for stat, _ in found)
    for stat, path in sorted(found, key=lambda pair: pair[0].st_mtime):
        if kept <= MOST_BYTES:
            return
        path.unlink(missing_ok=True)
        kept -= stat.st_size
        with suppress(OSError):
            path.parent.rmdir()
