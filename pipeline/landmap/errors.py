"""Errors that reach the user as one line on stderr.

    LandmapError                 (defined in landmap_models.errors, with the branches of models and labelled chips)
    ├── SettingsError            a setting that can't be meant
    ├── SceneError               a scene can't be opened, read or used
    │   ├── ReadError            its file can't be opened or read: the only kind that another attempt may mend
    │   ├── BandError            a band the model needs is not found, or found twice
    │   └── GeoreferenceError    no CRS or geotransform, or the wrong pixel size
    ├── ReferenceDataError       reference data can't be read, or don't fit the map
    ├── ZoneError                zones can't be read or used
    ├── ChunkError               a chunk of a scene failed; names its window
    ├── ClusterError             a Dask cluster is not there, or not fit for the run
    │   └── ClusterLostError     it went away in the middle
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
    """A scene's file can't be opened or read: the only kind of error that another attempt may mend."""


class BandError(SceneError):
    """A band that the model needs is not found, or found twice."""


class GeoreferenceError(SceneError):
    """A scene has no CRS or geotransform, or a pixel size far from the model's."""


class ReferenceDataError(LandmapError):
    """Reference data can't be read, or don't fit the map that they are to judge."""


class ZoneError(LandmapError):
    """Zones can't be read or used."""


class ChunkError(LandmapError):
    """A chunk of a scene could not be read or predicted."""


class ClusterError(LandmapError):
    """A Dask cluster does not answer, or has workers that can't do the work."""


class ClusterLostError(ClusterError):
    """A scheduler, or all workers, went away in the middle of a run: the next scene would fare no better."""


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
