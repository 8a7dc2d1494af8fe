"""landmap beside other ways to draw the same map: whole processes in turn, `make bench-peers`.

Each peer has a virtual environment of its own (.benchmarks/peers), where its packages are installed by name and
version; one that can't be installed or doesn't run is left out, with the reason. All run the same network: Keras the
packaged model's file, PyTorch its weights in the same layers (peers/torch_network.py). This file imports nothing large,
or a child's peak of memory would be its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MODEL = ROOT / "models/landmap_models/model_file/packaged/compact-eurosat-rgb.keras"
STRIDES = (64, 16, 8)
KERAS = ("tensorflow==2.21.0", "keras==3.15.1", "rasterio==1.4.4")
TORCH = ("torch==2.13.0", "torchvision==0.28.0", "numpy<3", "rasterio==1.4.4")


@dataclass(frozen=True)
class Peer:
    """Another way to draw the map."""

    name: str
    script: str
    """Its program, in the folder peers."""
    packages: tuple[str, ...]
    less: str
    """What it does less than landmap."""
    finest: int = 16
    """The smallest stride in pixels that it is run at: at smaller ones it takes minutes."""


PEERS = (
    Peer("Keras `model.predict`", "keras_predict.py", KERAS, "all chips in memory at once", finest=8),
    Peer(
        "xbatcher 0.4.0 + Keras",
        "xbatcher_keras.py",
        (*KERAS, "xbatcher==0.4.0", "rioxarray==0.19.0", "xarray==2025.6.1"),
        "drops the chips that the right and lower edges cut",
    ),
    Peer(
        "dask `map_blocks` + Keras",
        "dask_keras.py",
        (*KERAS, "dask[array]==2026.8.0"),
        "the margins of blocks are for the user to get right",
        finest=8,
    ),
    Peer(
        "torchgeo 0.8.1" if sys.version_info < (3, 12) else "torchgeo 0.10.1",
        "torchgeo_grid.py",
        (*TORCH, "torchgeo==0.8.1" if sys.version_info < (3, 12) else "torchgeo==0.10.1", "requests"),
        "its grid begins in the south-west, and the answers are for the user to put together",
    ),
    Peer(
        "raster-vision 0.31.1",
        "rastervision_windows.py",
        (*TORCH, "rastervision-core==0.31.1", "rastervision-pytorch-learner==0.31.1"),
        "a polygon for each chip (GeoJSON), no raster",
    ),
)


@dataclass(frozen=True)
class Cost:
    """What a process took from start to end."""

    wall: float
    cpu: float
    """Seconds of the processor, in user and system."""
    peak: int
    """Bytes of memory."""


@dataclass
class Row:
    """A peer and landmap at one stride, in turn."""

    peer: Peer
    own: list[Cost] = field(default_factory=list)
    its: list[Cost] = field(default_factory=list)
    failure: str | None = None

    def ratio(self, name: str) -> float:
        """Median of what landmap took by what the peer took next to it; below 1 landmap takes less."""
        pairs = zip(self.own, self.its, strict=True)
        return statistics.median(getattr(own, name) / getattr(its, name) for own, its in pairs)


def measured(command: Sequence[str], log: Path) -> Cost | str:
    """Run a process to its end; or the last line that it wrote."""
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        return f"exit {process.returncode}: {lines[-1] if lines else 'nothing said'}"
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def environment(peer: Peer, folder: Path) -> Path | str:
    """The Python of a peer's virtual environment, which is made if it is not there; or why it can't be."""
    key = hashlib.sha256(repr((peer.packages, sys.version_info[:2])).encode()).hexdigest()[:12]
    place = folder / f"{Path(peer.script).stem}-{key}"
    python = place / "bin/python"
    if (place / "complete").exists():
        return python
    print(f"installing {', '.join(peer.packages)}", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    made = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        errors = [line for line in made.stderr.splitlines() if line.startswith("ERROR")] or made.stderr.splitlines()
        return f"can't be installed: {errors[-1] if errors else made.returncode}"
    (place / "complete").touch()
    return python


def compare(rows: list[Row], pythons: dict[str, Path], stride: int, options: argparse.Namespace, folder: Path) -> None:
    """Fill rows: in each round landmap, and then each peer that is quick enough for another one."""
    scene, weights, log = folder / "scene.tif", folder / "network.npz", folder / "log.txt"
    own = [sys.executable, "-m", "landmap", "classify", str(scene), "-o", str(folder / "cover.tif"), "--quiet"]
    own += ["--detail", "chip", "--stride", str(stride), "--overwrite", "--engine", options.engine]
    measured(own, log)  # the first run of a model keeps its graph for all later ones
    for number in range(options.repeats):
        waiting = [row for row in rows if row.failure is None and not (row.its and row.its[-1].wall > options.slow)]
        if not waiting:
            return
        cost = measured(own, log)
        if isinstance(cost, str):
            sys.exit(f"landmap: {cost}")
        for row in waiting:
            program = [str(pythons[row.peer.name]), "-W", "ignore", str(HERE / "peers" / row.peer.script)]
            output = folder / "peer.out"
            its = measured([*program, str(scene), str(MODEL), str(weights), str(stride), str(output)], log)
            print(f"stride {stride}, round {number + 1}: {row.peer.name}: landmap {cost}, peer {its}", file=sys.stderr)
            if isinstance(its, str):
                row.failure = its
            else:
                row.own.append(cost)
                row.its.append(its)


def table(rows: list[Row], stride: int) -> Iterator[str]:
    """Lines of Markdown."""
    yield f"| stride {stride} px | processor | wall | landmap | peer | peak memory, landmap / peer | rounds |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        if row.failure is not None:
            yield f"| {row.peer.name} | {row.failure} | | | | | |"
            continue
        own, its = ([statistics.median(getattr(c, n) for c in costs) for n in ("cpu", "wall", "peak")]
                    for costs in (row.own, row.its))  # fmt: skip
        seconds = [f"{cpu:.1f} s in {wall:.1f} s" for cpu, wall, _ in (own, its)]
        memory = f"{own[2] / 1e9:.2f} / {its[2] / 1e9:.2f} GB"
        ratios = f"{row.ratio('cpu'):.2f} | {row.ratio('wall'):.2f}"
        yield f"| {row.peer.name} | {ratios} | {' | '.join(seconds)} | {memory} | {len(row.its)} |"


def main() -> None:
    """Install, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are printed (5)")
    parser.add_argument("--slow", type=float, default=20, help="a peer that takes longer, in s, is run once (20)")
    parser.add_argument("--size", type=int, default=1500, help="height and width of the scene in pixels (1500)")
    parser.add_argument("--strides", type=int, nargs="+", default=STRIDES, help="strides in pixels (64 16 8)")
    parser.add_argument("--peers", nargs="+", default=[], help="words of the names of the peers to run (all)")
    parser.add_argument("--engine", default="auto", help="landmap's engine (auto)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".benchmarks/peers", help="folder of environments")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, str(HERE / "peers/inputs.py"), str(folder), str(options.size)], check=True)
    peers = [peer for peer in PEERS if not options.peers or any(word in peer.name for word in options.peers)]
    pythons = {peer.name: environment(peer, folder) for peer in peers}
    missing = {name: reason for name, reason in pythons.items() if isinstance(reason, str)}
    found = {name: python for name, python in pythons.items() if isinstance(python, Path)}
    for stride in options.strides:
        rows = [Row(peer, failure=missing.get(peer.name)) for peer in peers if peer.finest <= stride]
        compare(rows, found, stride, options, folder)
        print("\n".join(table(rows, stride)), end="\n\n", flush=True)
    print("\n".join(f"- {peer.name}: {peer.less}" for peer in peers))


if __name__ == "__main__":
    main()
