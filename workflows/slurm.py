"""A landmap command runs on workers that SLURM queues, which start for it and end after it.

    python workflows/slurm.py batch scenes/ -o covers/
    python workflows/slurm.py classify scene.tif -o cover.tif

This process is Dask's scheduler and writes the covers, so it lives as long as the work does. Where a login node ends
long processes, queue it, too:

    sbatch --time=2-0 --cpus-per-task=1 --mem=4G --wrap "python workflows/slurm.py batch scenes/ -o covers/"

Partition, account, network interface and the like are the site's, not this recipe's: put them into
~/.config/dask/jobqueue.yaml (jobqueue: slurm: queue, account, interface), or into WORKER below.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from dask_jobqueue import SLURMCluster
from distributed import Client

JOBS = 10
"""Number of jobs of SLURM, each of one worker."""
WORKER = {
    "cores": 2,  # of the job, and threads of its worker: one predicts, one reads meanwhile; TensorFlow uses both cores
    "processes": 1,
    "memory": "4GB",  # landmap needs 2; Dask pauses a worker at 80 % of its limit
    "walltime": "04:00:00",
    # Shortly before that a worker hands its work to others and ends, and a new job takes its place. The stagger keeps
    # all of them from doing so at once.
    "worker_extra_args": ["--lifetime", "225m", "--lifetime-stagger", "10m"],
    # GPUs: "job_extra_directives": ["--gres=gpu:1"], and "--resources", "GPU=1" among the arguments above.
    "job_script_prologue": ["export TF_NUM_INTRAOP_THREADS=$SLURM_CPUS_PER_TASK TF_NUM_INTEROP_THREADS=1"],
    "log_directory": "slurm-logs",
    "scheduler_options": {"dashboard_address": ":0"},  # any free port: login nodes have many users
}


def main() -> None:
    """Run the command of the command line on workers of SLURM."""
    command = sys.argv[1:]
    if not command:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the jobs are cancelled, not left to time out
    with SLURMCluster(**WORKER) as cluster, Client(cluster) as client:
        cluster.adapt(minimum_jobs=JOBS, maximum_jobs=JOBS)  # unlike scale(JOBS), it replaces those that end
        client.wait_for_workers(1)  # as long as the queue takes
        address = cluster.scheduler_address
        done = subprocess.run([sys.executable, "-m", "landmap", *command, "--scheduler", address], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
