"""A landmap command runs on a Dask cluster: one that is started here, or an existing one.

    python workflows/cluster.py local batch scenes/ -o covers/
    python workflows/cluster.py tcp://host:8786 batch scenes/ -o covers/
    python workflows/cluster.py scheduler.json classify scene.tif -o cover.tif

`landmap ... --workers N` and `--scheduler ADDRESS` do the same in one line. This recipe also sets processes, threads
and memory, and waits for workers that are still in a queue.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, LocalCluster

WORKERS = 2
CORES = len(os.sched_getaffinity(0)) // WORKERS or 1  # of each worker, for TensorFlow
LOCAL = {
    "n_workers": WORKERS,
    "threads_per_worker": 2,  # one predicts, one reads meanwhile
    "memory_limit": "4GB",  # a worker of landmap needs 2; Dask pauses one at 80 % of its limit
    "env": {"TF_NUM_INTRAOP_THREADS": str(CORES), "TF_NUM_INTEROP_THREADS": "1"},
    "dashboard_address": ":0",  # any free port
}


@contextmanager
def cluster(where: str) -> Iterator[Client]:
    """Connect to a cluster.

    Args:
        where: "local", which starts one, or the address or file of a scheduler.
    """
    if where == "local":
        with LocalCluster(**LOCAL) as local, Client(local) as client:
            yield client
    else:
        how = {"scheduler_file": where} if Path(where).is_file() else {"address": where}
        with Client(**how, timeout=60) as client:
            yield client


def main() -> None:
    """Run the command of the command line on its cluster."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    where, *command = sys.argv[1:]
    with cluster(where) as client:
        client.wait_for_workers(1)  # as long as it takes
        print(f"dashboard: {client.dashboard_link}", file=sys.stderr)
        address = client.scheduler.address
        done = subprocess.run([sys.executable, "-m", "landmap", *command, "--scheduler", address], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
