"""Locks that end with their process, and signals that wait until a step is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def signals_held() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the context.

    The handlers are exchanged instead of blocking the signals: blocking concerns one thread, and TensorFlow has others,
    which would receive the signals for Python's main thread. Only the main thread can set handlers and runs them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = {number: handler for number, handler in before.items() if handler is not None}
    for number in ours:
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for caught in dict.fromkeys(received):
            signal.raise_signal(caught)


@contextmanager
def held(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which is removed at the end. The system drops the lock when its process ends, however it ends.

    Args:
        file: The lock file. That it exists means nothing; what counts is who holds it.
        wait: Whether to wait until the lock is free.

    Raises:
        Timeout: Another process holds the lock, and `wait` is not set.
        OSError: The file can't be made.
    """
    lock = FileLock(file, blocking=wait)
    lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        # Removed while it is held: a process that has opened it finds it without a name and tries again (filelock 4).
        with suppress(OSError):
            file.unlink()
        lock.release()
