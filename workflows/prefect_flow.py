"""All scenes of a folder are mapped by a Prefect flow: one task a scene, with its own state, log and retries.

    pip install prefect
    python workflows/prefect_flow.py scenes/ covers/ [--scheduler ADDRESS] [--cron "30 1 * * *"]

With --cron the script keeps running and starts the flow at those times. The ledger in covers/ records what is mapped,
so that another run maps only new scenes, and a retry resumes where the run before it ended. Each scene is a process of
its own: one `landmap batch` is cheaper for thousands of scenes.
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
"""Number of scenes at once: one is read while the other is written. Without a cluster each takes 2 GB and all cores."""
ENDINGS = {".tif", ".tiff", ".jp2", ".vrt"}
"""Endings of the scenes of a folder."""


@task(task_run_name="{scene.name}", retries=2, retry_delay_seconds=60)
def cover(scene: Path, folder: Path, scheduler: str | None) -> None:
    """Map one scene.

    Raises:
        RuntimeError: landmap failed; the message is the end of its own.
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
    """Map all scenes of a folder.

    Raises:
        RuntimeError: A scene failed; it is raised after all were tried.
    """
    found = sorted(path for path in scenes.iterdir() if path.suffix.lower() in ENDINGS)
    tasks = [cover.submit(scene, folder, scheduler) for scene in found]
    for each in tasks:
        each.wait()
    failed = [scene.name for scene, each in zip(found, tasks, strict=True) if not each.state.is_completed()]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(found)} scenes failed: {', '.join(failed)}")


def main() -> None:
    """Run or serve the flow for the arguments of the command line."""
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
