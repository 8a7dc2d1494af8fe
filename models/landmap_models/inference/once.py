"""What is loaded from a file is remembered until the file is replaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

Loader = TypeVar("Loader", bound=Callable[..., Any])


def loaded_once(most: int) -> Callable[[Loader], Loader]:
    """Remember what a function loads from a file, its first argument, until the file is replaced.

    The checksum of the weights, which callers give, does not change with the card that lies beside them.

    Args:
        most: Number of results that are kept.
    """

    def decorate(function: Loader) -> Loader:
        @lru_cache(maxsize=most)
        def kept(_state: tuple[int, ...], path: str | Path, *args: Any, **named: Any) -> Any:
            return function(path, *args, **named)

        @wraps(function)
        def load(path: str | Path, *args: Any, **named: Any) -> Any:
            try:
                found = Path(path).stat()
                state: tuple[int, ...] = (found.st_mtime_ns, found.st_size, found.st_ino)
            except OSError:  # the function says what is wrong
                state = ()
            return kept(state, path, *args, **named)

        load.cache_clear, load.cache_info = kept.cache_clear, kept.cache_info  # type: ignore[attr-defined]
        return cast("Loader", load)

    return decorate
