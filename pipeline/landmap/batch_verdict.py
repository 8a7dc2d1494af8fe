"""What is to be done about a job, by the ledger's line and the files that are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landmap.batch_tasks import Task
from landmap.fingerprint import difference
from landmap.ledger import DONE, FAILED, OUTDATED, RUNNING, WAITING, Record, changed_files, missing_files


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about a job."""

    state: str
    """`waiting`: do it; else the state that it stays in."""
    why: str = ""
    """In words."""
    overwrite: bool = False
    """Whether it may replace files."""


def judge(record: Record, task: Task, folder: Path, *, overwrite: bool, retry: bool) -> Verdict:
    """Whether a job that is held is to be done, and why.

    Args:
        record: The ledger's line.
        task: The job as it is wanted now.
        folder: Of the batch.
        overwrite: Whether the user lets files be replaced.
        retry: Whether it is to be done again if it failed.
    """
    if record.state == WAITING:
        return Verdict(WAITING, overwrite=overwrite)
    if record.state == RUNNING:  # and nobody holds it; what it left is its own
        return Verdict(WAITING, "was cut short", overwrite or bool(record.owns))
    changed = difference(record.made_with, task.made_with)
    if record.state == FAILED:
        why = f"was tried {changed}" if changed else "failed before"
        return Verdict(WAITING, why, overwrite) if changed or retry else Verdict(FAILED, record.error)
    why = f"was made {changed}" if changed else damage(record, folder)
    if not why:
        return Verdict(DONE)
    is_ours = not changed and not changed_files(record, folder)  # the rest may be replaced by the same
    if overwrite or is_ours:
        return Verdict(WAITING, why, overwrite=True)
    return Verdict(OUTDATED, f"{why}. Give --overwrite to make it anew, or choose another folder")


def damage(record: Record, folder: Path) -> str:
    """What is wrong with a job's files, in words."""
    if gone := missing_files(record, folder):
        return f"{gone[0]} is gone"
    if changed := changed_files(record, folder):
        return f"{changed[0]} was changed since"
    return ""
