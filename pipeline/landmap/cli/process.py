"""How the process of the command line starts and ends: it is landmap's own, and nothing has to outlast a command."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from landmap_models.inference.lean_keras import lean_keras


def start() -> None:
    """Prepare the process: what a command imports is what it needs."""
    lean_keras()


def leave(status: int) -> NoReturn:
    """End the process at once, without the interpreter's tear-down, which takes TensorFlow a second.

    When a command returns, its files have their names and are closed, its pools and clusters have ended with their
    contexts, and no thread has work left; what remains is memory that the system takes back. A profiler or a debugger
    writes at the tear-down: under one, the process ends in the usual way.

    Args:
        status: The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if sys.getprofile() or sys.gettrace() or sys.flags.inspect:
        sys.exit(status)
    os._exit(status)
