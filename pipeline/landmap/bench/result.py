"""What is measured of a classification: the whole of it, and each step alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the software that were measured."""

    cpu: str
    """Name of the processor."""
    cores: int
    """Number of cores, as the system counts them."""
    device: str
    """TensorFlow's name of the device that predicted, such as `/CPU:0`."""
    landmap: str
    """Version of landmap."""
    tensorflow: str
    """Version of TensorFlow."""
    python: str
    """Version of Python."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A classification in a process of its own, as `landmap classify` does it."""

    start_seconds: float
    """Seconds from the start of the process to the start of the run: imports, and the start of TensorFlow."""
    seconds: float
    """Seconds of the run: preparation, all chunks, the finished file. TensorFlow has started before."""
    peak_bytes: int
    """Highest resident memory of the process in bytes."""
    precision: str
    """The precision in which the model computed, and why it was chosen, in words."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of the same classification, none of which overlaps with another."""

    prepare_seconds: float
    """Seconds to load the model, choose its precision and make its graph with a first prediction; once in a run."""
    read_seconds: float
    """Seconds to read all chunks in one thread; the file is probably in the system's cache."""
    predict_seconds: float
    """Seconds from the pixels of all chunks to their parts of the cover."""
    write_seconds: float
    """Seconds to write all parts, and the cloud-optimised GeoTIFF made of them."""
    windows: int
    """Number of windows that were predicted: those that begin in a chunk that is not known to be empty."""

    @property
    def slowest(self) -> str:
        """Name of the slowest of the steps that may overlap: `read`, `predict` or `write`."""
        return max(("read", "predict", "write"), key=lambda step: float(getattr(self, f"{step}_seconds")))

    @property
    def slowest_seconds(self) -> float:
        """Seconds that the slowest step takes."""
        return max(self.read_seconds, self.predict_seconds, self.write_seconds)

    @property
    def windows_per_second(self) -> float:
        """Windows a second of prediction alone."""
        return self.windows / self.predict_seconds


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured of a classification."""

    scene: str
    """The scene's path; "synthetic" for one made for this."""
    height: int
    """Rows of the scene."""
    width: int
    """Columns of the scene."""
    chip_size: int
    """Height and width of a window in pixels."""
    stride: int
    """Pixels between windows."""
    windows: int
    """Number of windows in the scene."""
    chunks: int
    """Number of chunks in the scene."""
    chunk_shape: tuple[int, int]
    """Rows and columns of pixels that a chunk owns, at most."""
    tile: tuple[int, int] | None
    """Rows and columns of pixels predicted in one pass; None where chips are predicted one by one."""
    threads: int
    """Number of chunks in work at the same time."""
    model: str
    """Name and version of the model."""
    method: str
    """How windows were predicted, in words."""
    whole: Whole
    """The whole run."""
    steps: Steps
    """The same steps without overlap."""
    machine: Machine
    """The machine on which it was measured."""

    @property
    def mpx(self) -> float:
        """Millions of pixels in the scene."""
        return self.height * self.width / 1e6

    @property
    def mpx_per_second(self) -> float:
        """Millions of pixels a second of the whole run."""
        return self.mpx / self.whole.seconds

    @property
    def windows_per_second(self) -> float:
        """Windows a second of the whole run; windows of chunks without data do not count."""
        return self.steps.windows / self.whole.seconds

    @property
    def share(self) -> float:
        """Seconds of the whole run divided by those of its slowest step: 1.00 is perfect overlap, and less is noise."""
        return self.whole.seconds / self.steps.slowest_seconds

    def to_dict(self) -> dict[str, Any]:
        """All numbers as values that JSON has, those that follow from others included."""
        derived = "mpx", "mpx_per_second", "windows_per_second", "share"
        steps = {name: getattr(self.steps, name) for name in ("slowest", "slowest_seconds", "windows_per_second")}
        return dataclasses.asdict(self) | {
            **{name: getattr(self, name) for name in derived},
            "steps": dataclasses.asdict(self.steps) | steps,
        }
