"""Chunks in the processes of a Dask cluster, on this machine or on many machines."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from landmap.errors import ClusterError, ClusterLostError, LandmapError
from landmap.executors.base import Engine, Write
from landmap.inference.plan import Plan
from landmap.inference.stitch import ChunkCover
from landmap.inference.work import ChunkWork, ModelFile, model_file
from landmap.scene.scene import files_read
from landmap.tiling import Chunk
from landmap_models.inference.classifier import Classifier

if TYPE_CHECKING:
    from distributed import Client, Future

    from landmap.executors.worker import Findings

LOG = logging.getLogger("landmap")

WORKER_SECONDS = 60
"""Seconds to wait for the first worker."""
LONELY_SECONDS = 600
"""Seconds to wait for a new worker once all are gone: a queue of jobs may start some."""
COUNT_SECONDS = 5
"""Seconds between two counts of the workers."""
READ_RETRIES = 2
"""Number of times that a failed read is repeated: a network may fail once, and what fails three times is broken."""


class ClusterExecutor:
    """An `Executor` on a cluster.

    A chunk is two tasks: one reads it, one predicts it. Where workers announce `GPU` resources, prediction takes one
    and reading takes none, so that workers without a GPU read for those with one. A bounded number of chunks is in
    work: the client holds the parts of the cover that it writes next, and workers hold the pixels that they predict
    next.
    """

    def __init__(self, client: Client) -> None:
        """Keep the client; nothing is asked of the cluster yet.

        Args:
            client: A client of the cluster, which stays open.
        """
        self._client = client
        self._model: ModelFile | Classifier | None = None
        self._force = False
        self._resources: dict[str, float] = {}
        self._threads, self._counted = 0, -math.inf

    def prepare(self, plan: Plan, classifier: Classifier | None) -> Engine:
        """Check what the workers find, and let one of them choose the precision. See `Executor`.

        Args:
            plan: What will be executed. Its setting `force` accepts workers with other versions of landmap, Keras,
                TensorFlow or GDAL.
            classifier: Sent to the workers in place of the plan's model; it must be picklable. None: the plan's model.

        Raises:
            ClusterError: There is no worker, or one has other versions, or does not find the scene.
        """
        from landmap.executors import worker

        LOG.info("dashboard: %s", self._client.dashboard_link)
        self._model, self._force = classifier, plan.settings.force
        model = None if classifier is not None else model_file(plan, "float32")
        with self._loss_explained():
            found = self._ask_workers(plan, model)
            if not self._force:
                _check_versions(found)
            _check_files(found)
            self._resources = {"GPU": 1} if any(f.gpus for f in found.values()) else {}
            if model is None:
                return Engine("as passed in", "as passed in", "float32: the classifier was passed in")
            if not all(f.has_model for f in found.values()):
                self._client.register_plugin(worker.SentModel(model))
            future = self._client.submit(worker.prepare, plan, resources=self._resources, pure=False)
        engine: Engine = self._result(future, lambda why: ClusterError(f"{self._address}: no model there: {why}"))
        self._model = model_file(plan, engine.precision)  # type: ignore[arg-type] # the name of one
        return engine

    def _ask_workers(self, plan: Plan, model: Any) -> dict[str, Findings]:
        from landmap.executors import worker

        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"{self._address}: expected at least one worker. Received: none in {WORKER_SECONDS} s. Start some: "
                f"dask worker {self._address}"
            ) from error
        files = {name: size for name, (size, _) in files_read(plan.scene).items()}
        try:
            found: dict[str, Findings] = self._client.run(worker.report_findings, model, files)
        except Exception as error:  # whatever a worker without landmap, or with another one, raises
            raise ClusterError(
                f"{self._address}: expected workers with landmap. Received: {words(error)}. Install there what is "
                "installed here"
            ) from error
        return found

    def run(self, work: ChunkWork, chunks: Sequence[Chunk], write: Write) -> None:
        """Execute chunks on the workers. See `Executor`.

        Raises:
            ChunkError: Each worker that had a chunk died.
            ClusterLostError: The scheduler went away, or all workers did.
        """
        finished: SimpleQueue[Future] = SimpleQueue()
        running: dict[str, tuple[Future, Chunk]] = {}
        waiting = iter(chunks)

        def fill() -> None:
            for chunk in islice(waiting, max(0, self._most() - len(running))):
                future = self._submit(work, chunk)
                running[future.key] = future, chunk
                future.add_done_callback(finished.put)

        try:
            fill()
            while running:
                future, chunk = running.pop(self._next(finished).key)
                cover: ChunkCover = self._result(future, partial(work.failed, chunk))
                future.release()  # the worker need not keep it
                fill()  # before writing, which takes a while
                write(chunk, cover)
        finally:
            with suppress(Exception):  # the error that ended the run matters more
                self._client.cancel([future for future, _ in running.values()])

    def _submit(self, work: ChunkWork, chunk: Chunk) -> Future:
        from landmap.executors import worker

        with self._loss_explained():
            pixels = self._client.submit(worker.read_chunk, work, chunk, retries=READ_RETRIES, pure=False)
            wanted = None if self._force else worker.versions()
            return self._client.submit(
                worker.predict_chunk, work, chunk, pixels, self._model, wanted, resources=self._resources, pure=False
            )

    def _most(self) -> int:
        """Number of chunks in work: one for each thread of a worker, and one that waits for it."""
        if time.monotonic() - self._counted > COUNT_SECONDS:
            with self._loss_explained():
                self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return 2 * max(1, self._threads)

    def _next(self, finished: SimpleQueue[Future]) -> Future:
        """The next future that has ended, with a result or an error."""
        lonely = 0
        while True:
            with suppress(Empty):
                return finished.get(timeout=COUNT_SECONDS)
            with self._loss_explained():
                lonely = 0 if self._client.nthreads() else lonely + COUNT_SECONDS
            if lonely == COUNT_SECONDS:
                LOG.info("%s has no workers any more: waiting for new ones", self._address)
            if lonely > LONELY_SECONDS:
                raise ClusterLostError(
                    f"{self._address}: expected a worker. Received: none for {LONELY_SECONDS} s. Finished chunks are "
                    "kept: start workers, and give the same command again"
                )

    def _result(self, future: Future, failed: Callable[[str], LandmapError]) -> Any:
        """What a task returned.

        Args:
            future: The task's future.
            failed: Makes an error of the reason why the task returned nothing.

        Raises:
            LandmapError: What the task raised, or what `failed` made.
        """
        from distributed import KilledWorker

        try:
            with self._loss_explained():
                return future.result()
        except KilledWorker as error:
            raise failed(
                "each worker that had it died, as when memory runs out. Give workers more memory, or chunks less "
                "(--memory, --chunk)"
            ) from error
        except LandmapError:
            raise
        except Exception as error:  # one of Dask's: a worker can't unpickle what was sent, or the like
            raise failed(words(error)) from error

    @contextmanager
    def _loss_explained(self) -> Iterator[None]:
        """Turn Dask's errors of a scheduler that went away into one that says so."""
        try:
            yield
        except (CancelledError, OSError, TimeoutError) as error:  # CommClosedError is an OSError
            raise ClusterLostError(
                f"{self._address}: the scheduler went away, or dropped this run ({words(error)}). Finished chunks are "
                "kept: give the same command again"
            ) from error

    @property
    def _address(self) -> str:
        return str(self._client.scheduler.address if self._client.scheduler else "the Dask cluster")


def _check_versions(found: Mapping[str, Findings]) -> None:
    from landmap.executors.worker import differing, versions

    for address, finding in sorted(found.items()):
        if other := differing(versions(), finding.versions):
            raise ClusterError(
                f"worker {address} has {other}: maps may differ from those made here. Install the same versions there, "
                "or give force=True (--force)"
            )


def _check_files(found: Mapping[str, Findings]) -> None:
    """Refuse workers that lack a file, all of them in one error."""
    lacking = {address: finding.missing for address, finding in sorted(found.items()) if finding.missing}
    if not lacking:
        return
    names = sorted({name for missing in lacking.values() for name in missing})
    raise ClusterError(
        f"{', '.join(names)}: expected to be found by all workers, of the same size. Received: not by "
        f"{', '.join(lacking)}. Put it where all of them see it under this name, or give a URL"
    )


def words(error: BaseException) -> str:
    """The type and message of an error of Dask's, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
