"""Google's Dynamic World is fetched, rebuilt from Keras layers, and written as a model file of the user's.

Its SavedModel is a program; only its weights are read, from the checkpoint beside the program, and nothing in it is
run. They are no part of landmap: the user downloads them, and the files that are taken are those whose sha256 is known.
"""

from __future__ import annotations

import hashlib
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landmap_models.arrays import Floats
from landmap_models.errors import ModelError
from landmap_models.inference.loading import load_model
from landmap_models.inference.tensorflow import quietly, tensorflow
from landmap_models.legend import LandClass, Legend
from landmap_models.model_file.archive import write_card
from landmap_models.model_file.card import BandProfile, ModelCard
from landmap_models.model_file.packaged import user_folder
from landmap_models.publish import published

if TYPE_CHECKING:
    import keras

NAME = "dynamic-world"
COMMIT = "94e73e713ee8693136f8c9e3d4fe57b4e67f0d7e"
ADDRESS = f"https://raw.githubusercontent.com/google/dynamicworld/{COMMIT}/model/forward"
"""Where the public files are; the commit is that in which the model was published."""
FILES = {
    "variables/variables.index": "f27000c6a3d7dcd3e76e333331b108697712c734d5d5ef11b3f34571027c8436",
    "variables/variables.data-00000-of-00001": "c4a38299f2c0a741682cbe48810d55afdc832ff451e3d3708082751fe655fcb1",
}
"""sha256 of the files that are taken; the program (`saved_model.pb`) is not needed."""
TIMEOUT = 60
"""Seconds without an answer after which a download is given up."""
NOTICE_MEMBER = "NOTICE"
NOTICE = """This source code is available under an Apache 2 open source license and requires
the following attribution:

This code is produced for the Dynamic World Project by Google in partnership
with National Geographic and the World Resources Institute.
"""
"""The words that must go with the model."""
COLORS = ("#419bdf", "#397d49", "#88b053", "#7a87c6", "#e49635", "#dfc35a", "#c4281b", "#a59b8f", "#b39fe1")
"""Dynamic World's own colours."""
PROFILES = (
    ("B02", 0.0734, 0.1165, 0.4422, 0.1336),
    ("B03", 0.0548, 0.1046, 0.3922, 0.1246),
    ("B04", 0.0324, 0.1000, 0.4856, 0.1315),
    ("B05", 0.0276, 0.1255, 0.4997, 0.1473),
    ("B06", 0.0242, 0.1946, 0.5270, 0.1919),
    ("B07", 0.0219, 0.2230, 0.5582, 0.2143),
    ("B08", 0.0180, 0.2186, 0.5298, 0.2078),
    ("B11", 0.0052, 0.1896, 0.6462, 0.2009),
    ("B12", 0.0035, 0.1090, 0.5514, 0.1424),
)
"""Percentiles 1, 50 and 99 and mean of the reflectance of 3,275 places all over the world (patches that Google
published with ESA WorldCover's classes; a cloud-free median of 2020, L1C)."""


def fetch(folder: str | Path | None = None, *, overwrite: bool = False) -> Path:
    """Write Dynamic World as a model file into the user's folder of models, with its NOTICE.

    Args:
        folder: A copy of the SavedModel, which holds `variables/variables.index`; None downloads it.
        overwrite: Replace the model file if it is there.

    Returns:
        The model file.

    Raises:
        ModelError: The download fails, a file is not the one that is known, the model file is there, or the rebuilt
            network has other weights than the SavedModel.
    """
    path = user_folder() / f"{NAME}.keras"
    if path.exists() and not overwrite:
        raise ModelError(f"{path}: is there already. Replace it with --overwrite")
    with tempfile.TemporaryDirectory(prefix="landmap-") as temporary:
        for name, digest in FILES.items():
            content = _download(name) if folder is None else _read(Path(folder) / name)
            if hashlib.sha256(content).hexdigest() != digest:
                source = f"{ADDRESS}/{name}" if folder is None else str(Path(folder) / name)
                raise ModelError(f"{source}: expected that file of Dynamic World's model, of sha256 {digest[:12]}…")
            target = Path(temporary, name)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        _write(Path(temporary), path)
    return path


def _download(name: str) -> bytes:
    address = f"{ADDRESS}/{name}"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            return bytes(answer.read())
    except OSError as error:  # of which those of urllib are kinds
        raise ModelError(
            f"{address}: can't be downloaded ({error}). Download the folder model/forward of "
            "github.com/google/dynamicworld elsewhere, and give it: landmap models fetch dynamic-world --from FOLDER"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror}). Expected a copy of Google's SavedModel") from error


def _write(folder: Path, path: Path) -> None:
    """Rebuild the network, compare it with the checkpoint after it was written and read again, and add the card."""
    with quietly():
        import keras

        network = load(folder, 64, 64)
    answers = keras.layers.Softmax(name="probabilities")(network.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with published(path) as temporary:
        keras.Model(network.input, answers, name=NAME).save(temporary)
        _check_weights(load_model(temporary), read_variables(folder))
        write_card(temporary, card(), {NOTICE_MEMBER: NOTICE})
    path.with_suffix(".NOTICE.txt").write_text(NOTICE, encoding="utf-8")


def _check_weights(network: Any, variables: dict[str, list[Floats]]) -> None:
    """Refuse a network whose weights are not, bit by bit, those of the checkpoint, or that has others."""
    weighted = {layer.name for layer in network.layers if layer.weights}
    if weighted != {*variables, "halved"}:
        raise ModelError(f"{NAME}: the rebuilt network has other layers: {sorted(weighted ^ {*variables, 'halved'})}")
    for name, values in variables.items():
        found = network.get_layer(name).get_weights()
        if not all(np.array_equal(one, other) for one, other in zip(found, values, strict=True)):
            raise ModelError(f"{NAME}: the rebuilt network has other weights than the SavedModel in its layer {name}")


def card() -> ModelCard:
    """The card of the rebuilt network, without the sha256 of its weights."""
    from landmap_models.architectures.dynamic_world import BANDS, CLASSES, MARGIN, STEP, TRANSFORM

    profiles = {name: BandProfile(name, *numbers) for name, *numbers in PROFILES}
    legend = zip(CLASSES, COLORS, strict=True)
    return ModelCard(
        name=NAME,
        version=COMMIT[:7],
        description="Google's Dynamic World: nine kinds of cover of each pixel. Clouds pass for snow, their shadows "
        "for water; shrub, grass and flooded vegetation are its weakest classes (Brown et al. 2022, "
        "10.1038/s41597-022-01307-4).",
        bands=tuple(profiles[name] for name in BANDS),
        chip_size=510,
        resolution=10.0,
        levels=("L1C",),
        reflectance_range=(0.0, 1.0),
        legend=Legend(tuple(LandClass(i, name, color) for i, (name, color) in enumerate(legend))),
        licence="Apache-2.0",
        answers="pixel",
        margin=MARGIN,
        step=STEP,
        transform=TRANSFORM,
        training={"data": f"github.com/google/dynamicworld, commit {COMMIT}", "notice": NOTICE},
    )


def read_variables(folder: str | Path) -> dict[str, list[Floats]]:
    """Read the variables of the SavedModel by layer; its graph is not read.

    Args:
        folder: Folder of the SavedModel, which holds `variables/variables.index`.

    Raises:
        ModelError: There is no checkpoint, or it is not that of Dynamic World's forward model.
    """
    from landmap_models.architectures.dynamic_world import VARIABLES

    path = Path(folder) / "variables" / "variables"
    try:
        checkpoint = tensorflow().train.load_checkpoint(str(path))
        count = sum(name.startswith("variables/") for name in checkpoint.get_variable_to_shape_map())
        values = [checkpoint.get_tensor(f"variables/{i}/.ATTRIBUTES/VARIABLE_VALUE") for i in range(count)]
    except Exception as error:  # TensorFlow raises errors of its own for files it can't read
        raise ModelError(
            f"{folder}: TensorFlow finds no checkpoint there: {' '.join(str(error).split())[:200]}"
        ) from error
    waiting = iter(values)
    sizes = {name: 4 if name.startswith("batch") else 2 for name in VARIABLES}
    expected = sum(sizes.values())
    if count != expected:
        raise ModelError(f"{folder}: expected {expected} variables of Dynamic World's forward model. Received: {count}")
    return {name: [next(waiting) for _ in range(size)] for name, size in sizes.items()}


def load(folder: str | Path, height: int, width: int) -> keras.Model:
    """Build Dynamic World with its weights for windows of one size, from normalised bands to logits.

    Args:
        folder: Folder of the SavedModel, which holds `variables/variables.index`.
        height: Rows of a window in pixels, margin included; even.
        width: Columns of a window in pixels, margin included; even.

    Raises:
        ModelError: The variables don't fit, or a side is odd.
    """
    from landmap_models.architectures.dynamic_world import build

    variables = read_variables(folder)
    model = build(height, width)
    for name, values in variables.items():
        try:
            model.get_layer(name).set_weights(values)
        except ValueError as error:
            raise ModelError(f"{folder}: the variables of layer {name} do not fit: {error}") from error
    return model
