"""Errors that reach the user as one line on stderr.

    LandmapError                 (defined in landmap_models.errors, with the branches of models and labelled chips)
    ├── SettingsError            a setting has a value that can't be meant
    ├── SceneError               a scene can't be opened, read or used
    │   ├── ReadError            a scene's file can't be opened or read: the only error that a retry may solve
    │   ├── BandError            a band that the model needs is not found, or found twice
    │   └── GeoreferenceError    a scene has no CRS or geotransform, or the wrong pixel size
    ├── ReferenceDataError       reference data can't be read, or don't fit the map
    ├── ZoneError                zones can't be read or used
    ├── ChunkError               a chunk of a scene failed; the message names its window
    ├── ClusterError             a Dask cluster does not answer, or has workers that can't do the work
    │   └── ClusterLostError     a scheduler, or all workers, went away during a run
    ├── OutputError              an output exists already or can't be written
    └── BatchError               not every scene of a batch is done

A message says what was expected, what was received and what to do about it, and names the file and the band.

What the user should know of a result that was made all the same is a `LandmapWarning`. It is in the result, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from landmap_models.errors import LandmapError

__all__ = [
    "BandError",
    "BatchError",
    "ChunkError",
    "ClusterError",
    "ClusterLostError",
    "GeoreferenceError",
    "LandmapError",
    "LandmapWarning",
    "OutputError",
    "ReadError",
    "ReferenceDataError",
    "SceneError",
    "SettingsError",
    "ZoneError",
]


class SettingsError(LandmapError):
    """A setting has a value that can't be meant."""


class SceneError(LandmapError):
    """A scene can't be opened, read or used."""


class ReadError(SceneError):
    """A scene's file can't be opened or read: the only error that a retry may solve."""


class BandError(SceneError):
    """A band that the model needs is not found, or found twice."""


class GeoreferenceError(SceneError):
    """A scene has no CRS or geotransform, or a pixel size far from the model's."""


class ReferenceDataError(LandmapError):
    """Reference data can't be read, or don't fit the map."""


class ZoneError(LandmapError):
    """Zones can't be read or used."""


class ChunkError(LandmapError):
    """A chunk of a scene could not be read or predicted."""


class ClusterError(LandmapError):
    """A Dask cluster does not answer, or has workers that can't do the work."""


class ClusterLostError(ClusterError):
    """A scheduler, or all workers, went away during a run; the next scene of a batch would fail, too."""


class OutputError(LandmapError):
    """An output file exists already or can't be written."""


class BatchError(LandmapError):
    """Not every scene of a batch is done."""


class LandmapWarning(UserWarning):
    """Something that the user should know before a map is trusted."""


_ONLY_COLLECTED: ContextVar[bool] = ContextVar("_ONLY_COLLECTED", default=False)


def issue_warnings(texts: Iterable[str]) -> None:
    """Issue warnings that point at the line which called landmap, whatever lies between.

    Args:
        texts: One line each.
    """
    if _ONLY_COLLECTED.get():
        return
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "landmap":
        level, frame = level + 1, frame.f_back
    for text in texts:
        warnings.warn(text, LandmapWarning, stacklevel=level)


@contextmanager
def warnings_only_collected() -> Iterator[None]:
    """Within this context `issue_warnings` is silent: the caller shows what the results hold."""
    token = _ONLY_COLLECTED.set(True)
    try:
        yield
    finally:
        _ONLY_COLLECTED.reset(token)
