"""TensorFlow's start without its chatter."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """Hold back what C++ code writes to stderr while TensorFlow is imported, finds its devices, or freezes a graph.

    TensorFlow 2.21 logs there before its own log level applies ("Could not find cuda drivers" on every machine without
    a GPU), and a user would take that for errors of his map. If that fails, everything is shown.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
