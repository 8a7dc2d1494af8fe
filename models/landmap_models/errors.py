"""Errors that reach the user as one line.

LandmapError
├── ModelError          a model file, its card or its use
│   ├── CardError       the card is missing, incomplete or contradicts the file
│   └── UnsafeModelError  the file would run code on loading
├── DatasetError        labelled chips that can't be read or used
└── ReportError         a report exists already or can't be written
(`landmap.errors` continues the tree with the errors of scenes and maps.)

A message says what was expected, what came, and what to do about it.
"""

from __future__ import annotations

import zipfile
import zlib

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it opens no such archives, either
    LZMAError = zlib.error  # type: ignore[misc, assignment]

ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, UnicodeDecodeError)
"""What Python's zipfile raises for an archive that is damaged, locked, packed in a way that it does not know
(RuntimeError), or whose names are in no known encoding; and OSError, which has other causes, too."""


class LandmapError(Exception):
    """Root of every error that landmap raises on purpose."""


class ModelError(LandmapError):
    """A model can't be found, read or used as asked."""


class CardError(ModelError):
    """A model card is missing, incomplete or contradicts its model."""


class UnsafeModelError(ModelError):
    """A model file holds code that would run on loading."""


class DatasetError(LandmapError):
    """Labelled chips can't be read or don't fit together."""


class ReportError(LandmapError):
    """The report of an evaluation exists already or can't be written."""
