"""The ledger of a batch: a SQLite file with the state of each job, which several runs may share."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from landmap.errors import OutputError
from landmap.io.locks import held, signals_held
from landmap.io.publish import write_error

NAME = "batch.sqlite"
"""Name of the file in the batch's folder."""
VERSION = 1
"""Version of its schema."""
BUSY_SECONDS = 60
"""Seconds that a run waits for another run's transaction, which takes milliseconds."""

WAITING, RUNNING, DONE, FAILED, OUTDATED = "waiting", "running", "done", "failed", "outdated"
"""States of a job. `outdated` means that the output would be made in another way now, or has been changed since."""
CLOUDY = "cloudy"
"""State of a job whose scene was skipped, as more of it is cloud than was allowed."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY,
    output TEXT NOT NULL UNIQUE,
    scene TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    runner TEXT NOT NULL DEFAULT '',
    started TEXT NOT NULL DEFAULT '',
    seconds REAL,
    error TEXT NOT NULL DEFAULT '',
    sha256 TEXT NOT NULL DEFAULT '',
    owns INTEGER NOT NULL DEFAULT 0,
    made_with TEXT NOT NULL DEFAULT '{}',
    files TEXT NOT NULL DEFAULT '{}',
    result TEXT NOT NULL DEFAULT '{}'
)
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One job in the ledger."""

    id: int
    """Number of the job."""
    output: str
    """Path of the cover, relative to the batch's folder."""
    scene: str
    """Path or URL, without credentials."""
    state: str = WAITING
    """`waiting`, `running`, `done`, `cloudy`, `failed` or `outdated`. If no process holds a running job, its run was
    killed."""
    attempts: int = 0
    """Number of times that it was started."""
    runner: str = ""
    """Host and process that started it last."""
    started: str = ""
    """Time when it was started last, ISO 8601 in UTC."""
    seconds: float | None = None
    """Time that it took in seconds; None where it has not ended."""
    error: str = ""
    """Why it failed, was skipped, or is outdated."""
    sha256: str = ""
    """SHA-256 of the cover."""
    owns: int = 0
    """1 if no file of the job existed when it was started, or if it was allowed to replace them; then what exists after
    its run was killed is its own."""
    made_with: Mapping[str, Any] = field(default_factory=dict)
    """Fingerprint of scene, model and settings, see `landmap.run.fingerprint`."""
    files: Mapping[str, Any] = field(default_factory=dict)
    """Files that were written, by their path in the folder, with sha256, bytes and time of the last change in ns."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """Areas, warnings and whatever else a report says."""


JSON_COLUMNS = ("made_with", "files", "result")
"""Columns that hold JSON."""


class Ledger:
    """The file `batch.sqlite` in a batch's folder.

    Which run may work on a job is decided by a lock of the operating system, not by what is written here: the system
    drops it when its process ends, so that no run has to guess whether another is alive. As a second guard a start
    counts only if no run has started the job since its record was read. The journal mode is SQLite's default: its
    faster one (WAL) does not work between machines. On a network file system, locks must work, as NFS 4's do.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Open the ledger of a batch.

        Args:
            folder: Folder of the batch.
            create: Whether a ledger is made where there is none; otherwise that is an error.

        Raises:
            OutputError: There is no ledger, it is of another version of landmap, or it can't be opened.
        """
        self.folder = folder
        self._path = folder / NAME
        if not create and not self._path.exists():
            raise OutputError(f"{folder}: expected the folder of a batch, with {NAME} in it")
        with self._database_errors():
            self._database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def _prepare(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._database.executescript(f"BEGIN IMMEDIATE; {SCHEMA}; PRAGMA user_version={VERSION}; COMMIT")
        elif version != VERSION:
            raise OutputError(f"{self._path}: expected version {VERSION}. Received: {version}. Update landmap")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def enrol(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Add jobs that are not in the ledger yet, given output and scene of each."""
        with self._database_errors(), self._transaction():
            self._database.executemany("INSERT OR IGNORE INTO jobs (output, scene) VALUES (?, ?)", jobs)

    def records(self) -> list[Record]:
        """Return all jobs, in the order in which they were added."""
        with self._database_errors(), closing(self._database.execute("SELECT * FROM jobs ORDER BY id")) as rows:
            return [_record(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by state; only states that occur."""
        with self._database_errors():
            return dict(self._database.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())

    def get(self, output: str) -> Record:
        """Return the job of an output, which must be in the ledger."""
        with (
            self._database_errors(),
            closing(self._database.execute("SELECT * FROM jobs WHERE output = ?", (output,))) as rows,
        ):
            return _record(rows.fetchone())

    @contextmanager
    def hold(self, name: str | int, *, wait: bool = False) -> Iterator[bool]:
        """Hold a job, or something else of the batch, for this run alone; yields whether this run holds it.

        Args:
            name: Id of the job, or another name.
            wait: Whether to wait while another run holds it.

        Raises:
            OutputError: The folder is not writable.
        """
        with ExitStack() as stack:
            mine = True
            try:
                stack.enter_context(held(self.folder / f".{NAME}.{name}.lock", wait=wait))
            except Timeout:
                mine = False
            except OSError as error:
                raise write_error(self.folder, error) from error
            yield mine

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Say that a run is at work on this batch, by a lock that ends with the context or the process.

        Raises:
            OutputError: The folder is not writable.
        """
        file = self.folder / f".{NAME}.run-{uuid.uuid4().hex}.lock"
        with ExitStack() as stack:
            try:
                stack.enter_context(held(file))
            except OSError as error:
                raise write_error(self.folder, error) from error
            yield

    def is_at_work(self) -> bool:
        """Return whether a run is at work; what killed runs have left is removed."""
        for file in self.folder.glob(f".{NAME}.run-*.lock"):
            try:
                with held(file):
                    pass
            except Timeout:
                return True
            except OSError:  # no lock is to be had in a read-only folder
                continue
        return False

    def start(self, record: Record, scene: str, made_with: Mapping[str, Any], *, owns: bool) -> bool:
        """Record that a job is started, which this run holds.

        Args:
            record: The job as it was read.
            scene: Path or URL of the scene, without credentials.
            made_with: Fingerprint of scene, model and settings.
            owns: Whether files of the job that exist when its run is killed are its own; it stays true where an earlier
                run of the job was killed.

        Returns:
            False where another run has started the job since `record` was read.
        """
        values = (RUNNING, scene, _runner(), now(), int(owns), RUNNING, json.dumps(made_with))
        return self._change(
            "state = ?, scene = ?, runner = ?, started = ?, owns = ? OR (state = ? AND owns), "
            "made_with = ?, attempts = attempts + 1, error = '', seconds = NULL",
            values,
            record,
        )

    def finish(self, output: str, seconds: float, files: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Record that a job is done: its seconds, the files that it wrote, and what reports say of it."""
        values = (DONE, seconds, files[output]["sha256"], json.dumps(files), json.dumps(result))
        self._change("state = ?, seconds = ?, sha256 = ?, files = ?, result = ?", values, self.get(output))

    def skip(self, output: str, seconds: float, error: str, cloud: float) -> None:
        """Record that a job is skipped for its clouds: its seconds, the reason, and its share of cloud from 0 to 1."""
        values = (CLOUDY, seconds, error, json.dumps({"cloud": cloud}))
        self._change("state = ?, seconds = ?, error = ?, result = ?", values, self.get(output))

    def fail(self, output: str, seconds: float, error: str) -> None:
        """Record that a job has failed after some seconds, and why."""
        self._change("state = ?, seconds = ?, error = ?", (FAILED, seconds, error), self.get(output))

    def mark(self, record: Record, state: str, error: str = "") -> None:
        """Correct the state of a job on which no work was done."""
        self._change("state = ?, error = ?", (state, error), record)

    def _change(self, columns: str, values: tuple[Any, ...], record: Record) -> bool:
        with self._database_errors(), self._transaction():
            done = self._database.execute(
                f"UPDATE jobs SET {columns} WHERE id = ? AND attempts = ?", (*values, record.id, record.attempts)
            )
            return done.rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with signals_held(), self._database:  # whose context commits or rolls back
            self._database.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError) as error:  # the latter two: a line that can't be understood
            raise OutputError(f"{self._path}: can't be used as a batch's ledger: {error}") from error


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Return sha256, size in bytes and time of the last change in ns of files in a folder, by name."""
    return {name: {"sha256": sha256(folder / name), **_stamp(folder / name)} for name in names}


def missing_files(record: Record, folder: Path) -> list[str]:
    """Return the files of a job that do not exist any more."""
    return [name for name in record.files if not (folder / name).is_file()]


def changed_files(record: Record, folder: Path) -> list[str]:
    """Return the files of a job that have changed since. Only those of another size or time are read, as git does."""
    return [
        name
        for name, known in record.files.items()
        if (folder / name).is_file()
        and _stamp(folder / name) != {key: known[key] for key in ("bytes", "changed")}
        and sha256(folder / name) != known["sha256"]
    ]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 and STAC write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamp(path: Path) -> dict[str, int]:
    state = path.stat()
    return {"bytes": state.st_size, "changed": state.st_mtime_ns}


def _record(row: sqlite3.Row) -> Record:
    values = dict(row)
    return Record(**values | {name: json.loads(values[name]) for name in JSON_COLUMNS})


def _runner() -> str:
    return f"{platform.node()}:{os.getpid()}"
