"""What is measured of a classification: the whole of it, and each step alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Machine:
    """What it was measured on, and with."""

    cpu: str
    """The processor's own name."""
    cores: int
    """As the system counts them."""
    device: str
    """TensorFlow's name of what predicted, such as `/CPU:0`."""
    landmap: str
    """Version."""
    tensorflow: str
    """Version."""
    python: str
    """Version."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A classification in a process of its own, as `landmap classify` does it."""

    start_seconds: float
    """From the start of the process to that of the run: imports, and the start of TensorFlow."""
    seconds: float
    """Of the run: preparation, all chunks, the finished file. TensorFlow has started by then."""
    peak_bytes: int
    """The most memory that was resident at once."""
    precision: str
    """In which the model computed, and why, in words."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of the same classification, none of which overlaps with another."""

    prepare_seconds: float
    """Once a run: the model loaded, its precision chosen, its graph made, one prediction included."""
    read_seconds: float
    """Of all chunks, one after the other, by one thread; the file is likely in the system's memory by now."""
    predict_seconds: float
    """From the pixels of all chunks to their parts of the cover."""
    write_seconds: float
    """Of all parts, and of the cloud-optimised GeoTIFF made of them."""
    windows: int
    """Predicted: those that begin in a chunk that is not known to be empty."""

    @property
    def slowest(self) -> str:
        """Which of the steps that may overlap takes longest: `read`, `predict` or `write`."""
        return max(("read", "predict", "write"), key=lambda step: float(getattr(self, f"{step}_seconds")))

    @property
    def slowest_seconds(self) -> float:
        """What that step takes."""
        return max(self.read_seconds, self.predict_seconds, self.write_seconds)

    @property
    def windows_per_second(self) -> float:
        """Of prediction alone."""
        return self.windows / self.predict_seconds


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured."""

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
    """In the scene."""
    chunks: int
    """In the scene."""
    chunk_shape: tuple[int, int]
    """Rows and columns of pixels that a chunk owns, at most."""
    tile: tuple[int, int] | None
    """Rows and columns of pixels predicted in one pass; None where chips are predicted one by one."""
    threads: int
    """Chunks in work at once."""
    model: str
    """Name and version."""
    method: str
    """How windows are predicted, in words."""
    whole: Whole
    """The run that is measured."""
    steps: Steps
    """Its steps alone."""
    machine: Machine
    """What it was measured on."""

    @property
    def mpx(self) -> float:
        """Millions of pixels in the scene."""
        return self.height * self.width / 1e6

    @property
    def mpx_per_second(self) -> float:
        """Of the whole run."""
        return self.mpx / self.whole.seconds

    @property
    def windows_per_second(self) -> float:
        """Of the whole run; windows of chunks without data do not count."""
        return self.steps.windows / self.whole.seconds

    @property
    def share(self) -> float:
        """The whole run in terms of its slowest step: 1.00 is perfect overlap, and less is noise."""
        return self.whole.seconds / self.steps.slowest_seconds

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able values, with what follows from it."""
        derived = "mpx", "mpx_per_second", "windows_per_second", "share"
        steps = {name: getattr(self.steps, name) for name in ("slowest", "slowest_seconds", "windows_per_second")}
        return dataclasses.asdict(self) | {
            **{name: getattr(self, name) for name in derived},
            "steps": dataclasses.asdict(self.steps) | steps,
        }
