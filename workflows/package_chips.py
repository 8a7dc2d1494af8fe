"""A large network becomes the further one of a model file: it answers for single chips together with the small one.

    python workflows/package_chips.py workflows/teacher.keras model.keras [weight]

`model.keras` is a classifier of the same chips and classes with its card, and is replaced. The large network's weights
keep five binary digits behind the first, and the file is compressed: 14 MB become 4.3 MB, and 3 of 2,160 chips another
class (docs/model.md).
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from landmap_models.inference.loading import load_model
from landmap_models.model_file.archive import CHIPS_MEMBER, WEIGHTS_MEMBER, attach_network, read_card, write_card
from landmap_models.model_file.card import ModelCard
from landmap_models.model_file.chips import ChipPart

WEIGHT = 0.7
"""Share of the large network, chosen on the validation part: 98.2 % there (0.5: 98.1 %, 0.3: 97.2 %, alone: 98.0 %)."""
VERSION = "7"
"""Of the packaged model, in which only this network is new."""
DIGITS = 5
"""Binary digits of a weight behind the first; float32 has 23. With 4 the test part lost 0.2 %, with 3 2.1 %."""
ORIGIN = (
    "an EfficientNet-Lite0 (Tan and Le 2019; ImageNet weights, Apache-2.0) trained on EuroSAT's true-colour chips "
    "(Helber et al. 2019, MIT), which taught the first network, too"
)


def rounded(weights: np.ndarray, digits: int = DIGITS) -> np.ndarray:
    """Float32 numbers with so many binary digits behind the first."""
    dropped = 23 - digits
    bits = np.ascontiguousarray(weights, np.float32).view(np.uint32) + np.uint32(1 << (dropped - 1))
    return (bits >> dropped << dropped).astype(np.uint32).view(np.float32)


def small(network: Path, output: Path) -> None:
    """Write a network with rounded kernels, without card and split."""
    model = load_model(network)
    for variable in model.weights:
        if len(variable.shape) > 1:  # biases and statistics are few
            variable.assign(rounded(np.asarray(variable)))
    model.save(output)
    with zipfile.ZipFile(output) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[WEIGHTS_MEMBER] = shuffled(members[WEIGHTS_MEMBER])
    with zipfile.ZipFile(output, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def shuffled(weights: bytes) -> bytes:
    """The same weights with the bytes of numbers sorted by their place, which compress to a third."""
    made = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(made, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                how = {"chunks": item.shape, "shuffle": True, "compression": 9} if item.size > 500 else {}
                new.create_dataset(name, data=item[()], **how)
            else:
                new.require_group(name)
            new[name].attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    return made.getvalue()


def compressed(path: Path) -> None:
    """Compress what is in a model file; its contents, and so their digests, stay as they are."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in members:
            archive.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED)


def package(network: Path, model: Path, weight: float = WEIGHT) -> ModelCard:
    """Put the network into a model file.

    Args:
        network: The large network, a `.keras` file.
        model: The model file that gets it.
        weight: Share of the large network's probabilities.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, CHIPS_MEMBER)
        small(network, file)
        write_card(model, replace(read_card(model), version=VERSION))
        card = attach_network(model, file, ChipPart(weight, "", ORIGIN))
    compressed(model)
    return card


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    model = Path(sys.argv[2])
    card = package(Path(sys.argv[1]), model, *map(float, sys.argv[3:]))
    print(f"{card.name} {card.version}: {model.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
