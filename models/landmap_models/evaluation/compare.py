"""Several networks are trained on the same chips and compared in one table."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landmap_models.datasets.chips import ChipFolder
from landmap_models.errors import DatasetError, ModelError, ReportError
from landmap_models.evaluation import figures
from landmap_models.evaluation.evaluate import evaluate
from landmap_models.evaluation.networks import check_shared
from landmap_models.evaluation.report import check_output as check_report
from landmap_models.inference.keras_classifier import KerasClassifier, load_classifier
from landmap_models.metrics.table import metrics_for
from landmap_models.model_file.archive import read_card
from landmap_models.publish import published, put_in_place
from landmap_models.training.settings import TrainSettings
from landmap_models.training.train import check_network, make_split, open_data, train

TABLE, PICTURE, RECORD = "comparison.csv", "comparison.png", "comparison.json"
SPEED_CHIPS = 1024
"""Number of chips by which inference is timed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One network of a comparison."""

    name: str
    """Name of the network, by which model file and report in the folder are called."""
    metrics: Mapping[str, Mapping[str, float | None]]
    """Metrics on the test part by name: `value`, `low` and `high`."""
    parameters: int
    """Number of weights."""
    megabytes: float
    """Size of the model file in 10^6 bytes."""
    chips_per_second: float
    """Speed of inference in batches, on this machine."""
    minutes: float
    """Duration of all epochs, on this machine."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of a comparison."""

    rows: tuple[Row, ...]
    """One row for each network, in the given order."""
    output: Path
    """Folder with the table, a picture, and model and report of each network."""
    warnings: tuple[str, ...]
    """Warnings of what makes the numbers look better, or more certain, than they are."""


def compare(
    data: str | Path,
    networks: Mapping[str, TrainSettings],
    output: str | Path,
    *,
    overwrite: bool = False,
    workers: int = 1,
    verbose: int = 2,
    begin: Callable[[str], None] = lambda name: None,
) -> Comparison:
    """Train, measure and time each network.

    A comparison that was stopped resumes when it is started again with the same arguments: finished networks lie in
    `<output>.unfinished` until all are done.

    Args:
        data: Labelled chips; see `open_chips`.
        networks: Settings of the networks by name, as `networks_of` makes them.
        output: The folder to write.
        overwrite: Whether an existing comparison may be replaced.
        workers: Number of threads that load chips.
        verbose: Output of Keras in training: 0 nothing, 1 a progress bar, 2 a line an epoch.
        begin: Function that is called with the name of each network before its training.

    Raises:
        ModelError: A network can't be built, two would be trained on other chips, or another comparison of this name
            is unfinished. All networks are built before the first is trained.
        DatasetError: The chips can't be used.
        ReportError: The folder exists already.
    """
    output = Path(output)
    _check_output(output, Path(data), overwrite=overwrite)
    check_shared(networks)
    chips = open_data(data, next(iter(networks.values())))
    if not isinstance(chips, ChipFolder):
        raise DatasetError(f"{data}: expected chips with one label each. Received: images with masks. Train on these")
    split = make_split(chips, next(iter(networks.values())))
    for name, settings in networks.items():
        try:
            check_network(split, settings)
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from error
    work = _open_work(output.with_name(output.name + ".unfinished"), chips, networks)
    found = []
    for name, settings in networks.items():
        begin(name)
        found.append(_measure(chips, settings, work, workers, verbose))
    rows = tuple(row for row, _ in found)
    _write_table(work / TABLE, rows)
    figures.draw_comparison(work / PICTURE, [dataclasses.asdict(row) for row in rows])
    put_in_place(work, output)
    return Comparison(rows, output, tuple(dict.fromkeys(w for _, warnings in found for w in warnings)))


def _check_output(output: Path, data: Path, *, overwrite: bool) -> None:
    if data.resolve().is_relative_to(output.resolve()):
        raise ReportError(f"{output}: holds the data that are read. Choose another folder")
    if output.exists() and not (overwrite and (output / TABLE).is_file()):
        raise ReportError(
            f"{output}: exists already. Choose another name"
            + (" or give --overwrite" if (output / TABLE).is_file() else "; it is no comparison")
        )
    if not output.parent.is_dir():
        raise ReportError(f"{output}: expected the name of a folder, in a folder that exists")


def _open_work(work: Path, chips: ChipFolder, networks: Mapping[str, TrainSettings]) -> Path:
    """The working folder: a new one, or that of a comparison with the same record."""
    settings = {name: chosen.to_content() for name, chosen in networks.items()}
    record = json.dumps({"data": chips.fingerprint(), "networks": settings}, indent=1)
    held = work / RECORD
    if work.exists() and (not held.is_file() or held.read_text() != record):
        raise ModelError(
            f"{work}: holds an unfinished comparison of other networks, data or settings. Remove it, or give the same "
            "arguments"
        )
    if not work.exists():
        with published(work) as new:
            new.mkdir()
            (new / RECORD).write_text(record)
    return work


def _measure(
    chips: ChipFolder, settings: TrainSettings, work: Path, workers: int, verbose: int
) -> tuple[Row, tuple[str, ...]]:
    path, report = work / f"{settings.name}.keras", work / settings.name
    check_report(report, overwrite=True)  # libraries that a report lacks are better named before the training
    card = (
        read_card(path)
        if path.exists()
        else train(chips, path, settings, resume=True, workers=workers, verbose=verbose, warn=_later)
    )
    found, classifier = (
        evaluate(path, chips, report, part="test", overwrite=True),
        load_classifier(path, card.weights_sha256),
    )
    row = Row(
        name=settings.name,
        metrics={m.name: found.metrics[m.name] for m in metrics_for(single_label=card.single_label) if m.compared},
        parameters=classifier.parameters,
        megabytes=path.stat().st_size / 1e6,
        chips_per_second=_speed(classifier),
        minutes=sum(row["seconds"] for row in card.training["log"]) / 60,
    )
    return row, found.warnings


def _later(text: str) -> None:
    """Drop a warning: the evaluation reads it from the card and repeats it."""


def _speed(classifier: KerasClassifier) -> float:
    """Chips per second: the best of three runs, after one that warms up."""
    card = classifier.card
    chips = np.zeros((SPEED_CHIPS, card.chip_size, card.chip_size, len(card.bands)), np.float32)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        classifier.predict(chips)
        times.append(time.perf_counter() - start)
    return SPEED_CHIPS / min(times[1:])


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = list(rows[0].metrics)
        ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
        writer.writerow(["network", *ends, "parameters", "megabytes", "chips_per_second", "minutes"])
        for row in rows:
            values = [row.metrics[name][end] for name in names for end in ("value", "low", "high")]
            rates = f"{row.megabytes:.2f}", f"{row.chips_per_second:.0f}", f"{row.minutes:.2f}"
            writer.writerow([row.name, *values, row.parameters, *rates])
