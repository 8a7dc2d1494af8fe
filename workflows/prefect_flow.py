"""Maps of all scenes in a folder as a Prefect flow: one task a scene, with its own state, log and retry.

    pip install prefect
    python workflows/prefect_flow.py scenes/ covers/ [--scheduler ADDRESS] [--cron "30 1 * * *"]

With --cron it stays, and runs at those times. What is mapped is known to the ledger in covers/, so that a flow that
runs once more does what is new, and a retry goes on where the try before it was. Each scene is a process: for
scenes by the thousand, one `landmap batch` costs less.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

try:
    from prefect import flow, task
    from prefect.logging import get_run_logger
    from prefect.task_runners import ThreadPoolTaskRunner
except ImportError:
    sys.exit(f"{__doc__}\nPrefect is missing: pip install prefect")

AT_ONCE = 2
"""Scenes in work: one is read while the other is written. On this machine alone each takes 2 GB and all cores."""
ENDINGS = {".tif", ".tiff", ".jp2", ".vrt"}


@task(task_run_name="{scene.name}", retries=2, retry_delay_seconds=60)
def cover(scene: Path, folder: Path, scheduler: str | None) -> None:
    """Map one scene.

    Raises:
        RuntimeError: landmap failed; its words.
    """
    where = ["--scheduler", scheduler] if scheduler else []
    options = ["-o", str(folder), "--retry-failed", *where]
    command = [sys.executable, "-m", "landmap", "batch", str(scene), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    get_run_logger().info(done.stdout + done.stderr)
    if done.returncode:
        raise RuntimeError(f"{scene}: landmap ended with {done.returncode}: {done.stderr.strip()[-500:]}")


@flow(name="landmap", task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))  # type: ignore[arg-type]
def covers(scenes: Path, folder: Path, scheduler: str | None = None) -> None:
    """Map all scenes of a folder; fails if one of them did, once all were tried."""
    found = sorted(path for path in scenes.iterdir() if path.suffix.lower() in ENDINGS)
    tasks = [cover.submit(scene, folder, scheduler) for scene in found]
    for each in tasks:
        each.wait()
    failed = [scene.name for scene, each in zip(found, tasks, strict=True) if not each.state.is_completed()]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(found)} scenes failed: {', '.join(failed)}")


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scheduler")
    parser.add_argument("--cron")
    given = parser.parse_args()
    parameters = {"scenes": given.scenes.resolve(), "folder": given.folder.resolve(), "scheduler": given.scheduler}
    if given.cron:
        covers.serve(name="landmap", cron=given.cron, parameters=parameters)
    else:
        covers(**parameters)


if __name__ == "__main__":
    main()
