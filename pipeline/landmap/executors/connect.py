"""The executor that the arguments `scheduler` and `workers` ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from landmap.errors import ClusterError, SettingsError
from landmap.executors.base import Executor
from landmap.executors.cluster import ClusterExecutor, words
from landmap.executors.threads import ThreadExecutor
from landmap_models.inference.lean_keras import lean_keras
from landmap_models.inference.session import load_in_background

if TYPE_CHECKING:
    from distributed import Client

Scheduler: TypeAlias = "str | os.PathLike[str] | Client | None"
"""Address or scheduler file of a running Dask cluster, or a client of one; None: none is given."""

CONNECT_SECONDS = 20
"""Seconds to wait for a scheduler to answer."""
START_SECONDS = 5
"""Seconds that the start of worker processes on this machine takes, about: Python, Dask, the scene and the model."""
THREADS = 2
"""Number of threads of a worker process that is started here: one predicts while the other reads."""


@contextmanager
def open_executor(
    executor: Executor | None, scheduler: Scheduler, workers: int | None, threads: int
) -> Iterator[Executor]:
    """The executor that is asked for; with nothing asked for, threads.

    Args:
        executor: Used as it is, and not closed; None: one is made.
        scheduler: Address or scheduler file of a running cluster, or a client of one; None for none.
        workers: Number of processes to start on this machine; None for none.
        threads: Number of chunks in work at the same time where no cluster is asked for.

    Raises:
        SettingsError: More than one of `executor`, `scheduler` and `workers` is given.
        ClusterError: The scheduler does not answer.
    """
    if executor is not None:
        if scheduler is not None or workers is not None:
            raise SettingsError("Expected an executor, a scheduler or a number of workers. Received: two of them")
        yield executor
        return
    with connected(scheduler, workers) as client:
        yield ThreadExecutor(threads) if client is None else ClusterExecutor(client)


@contextmanager
def connected(scheduler: Scheduler, workers: int | None) -> Iterator[Client | None]:
    """A client of the cluster that is asked for, or else Dask's default client, or None if there is none.

    Args:
        scheduler: Address ("tcp://host:8786") or scheduler file (JSON) of a running cluster; or a client of one, which
            stays open. None: none is asked for.
        workers: Number of processes of a cluster that is started here, and ended at the end of the context. A script
            that asks for this needs `if __name__ == "__main__":`, like all that start processes. None: none is started.

    Raises:
        SettingsError: Both are given.
        ClusterError: The scheduler does not answer.
    """
    if scheduler is not None and workers is not None:
        raise SettingsError("Expected a scheduler or a number of workers. Received: both")
    with ExitStack() as stack:
        if workers is not None:
            yield stack.enter_context(_local(workers))
        elif isinstance(scheduler, (str, os.PathLike)):
            yield stack.enter_context(_client(os.fspath(scheduler)))
        else:
            yield scheduler or _ambient()


def _ambient() -> Client | None:
    if "distributed" not in sys.modules:  # nobody has made a client, and the import is slow
        return None
    from distributed import default_client

    with suppress(ValueError):
        return default_client()
    return None


@contextmanager
def _client(address: str) -> Iterator[Client]:
    from distributed import Client

    how = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = Client(**how, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"{address}: expected the address of a Dask scheduler that answers, such as tcp://host:8786, or a "
            f"scheduler file. {words(error)}"
        ) from error
    with client:
        yield client


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    """A client of a new cluster on this machine, whose processes share its cores."""
    from distributed import Client, LocalCluster

    cores = max(1, len(os.sched_getaffinity(0)) // workers)
    # TensorFlow would have each process use all cores.
    threads = {"TF_NUM_INTRAOP_THREADS": str(cores), "TF_NUM_INTEROP_THREADS": "1"}
    how: dict[str, Any] = {"n_workers": workers, "threads_per_worker": THREADS, "dashboard_address": ":0"}
    with (
        LocalCluster(**how, env=threads, silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.run(lean_keras)  # these processes are landmap's own
        client.run(load_in_background)  # meanwhile they are asked what they find
        yield client
