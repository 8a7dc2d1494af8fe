"""A model card inside a `.keras` file: read, checked against the model, and written."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from landmap_models.errors import ZIP_DAMAGE, CardError, ModelError
from landmap_models.model_file.card import ModelCard, read_content
from landmap_models.model_file.card_fit import card_misfits
from landmap_models.model_file.chips import ChipPart
from landmap_models.model_file.foreign_models import foreign_model, quoted
from landmap_models.model_file.nir import NirPrior
from landmap_models.model_file.pixels import PixelPart
from landmap_models.publish import published

CARD_MEMBER = "landmap.json"
SPLIT_MEMBER = "landmap_split.csv"
WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER = "config.json"
METADATA_MEMBER = "metadata.json"
PIXELS_MEMBER = "landmap_pixels.keras"
"""The network that answers for each pixel, a `.keras` file of its own."""
CHIPS_MEMBER = "landmap_chips.keras"
"""The further network that answers for chips, a `.keras` file of its own."""
FURTHER = {"pixels": PIXELS_MEMBER, "chips": CHIPS_MEMBER}
"""Members with further networks, by the entry of the card that tells of them."""


GRAPH_MEMBER = "landmap_graph.pb"
"""A TensorFlow graph with its weights, in place of Keras's members."""


def weights_sha256(path: str | Path) -> str:
    """sha256 of the weights in a `.keras` file, or of the graph that it holds, as hexadecimal text.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
    """
    with _open_archive(Path(path)) as archive:
        member = GRAPH_MEMBER if GRAPH_MEMBER in archive.namelist() else WEIGHTS_MEMBER
        with archive.open(member) as weights:
            return hashlib.file_digest(cast(Any, weights), "sha256").hexdigest()


def read_config(path: str | Path) -> dict[str, Any]:
    """The configuration by which Keras builds the model of a `.keras` file; of a graph, that it is one.

    Raises:
        ModelError: The file is not a `.keras` file, damaged, or its config.json is not a JSON object.
    """
    with _open_archive(Path(path)) as archive:
        if GRAPH_MEMBER in archive.namelist():
            return {"class_name": "TensorFlow graph", "config": {}}
        try:
            config = json.loads(archive.read(CONFIG_MEMBER).decode())
        except (KeyError, ValueError, RecursionError) as error:
            raise ModelError(f"{path}: expected a .keras file with a readable {CONFIG_MEMBER} inside") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: expected a JSON object in {CONFIG_MEMBER}. Received: {type(config).__name__}")
    return config


def is_graph(path: str | Path) -> bool:
    """Whether a model file holds a TensorFlow graph and no Keras model.

    Raises:
        ModelError: The file is no model file, or damaged.
    """
    with _open_archive(Path(path)) as archive:
        return GRAPH_MEMBER in archive.namelist()


def write_graph(path: str | Path, graph: bytes, card: ModelCard) -> ModelCard:
    """Write a model file that holds a TensorFlow graph.

    Args:
        path: The file, which is replaced at once where it is there.
        graph: A serialised `GraphDef`, checked (`landmap_models.inference.graph_model`).
        card: The card of the model; its `weights_sha256` is set.

    Returns:
        The card as written.
    """
    card = dataclasses.replace(card, weights_sha256=hashlib.sha256(graph).hexdigest())
    with published(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(GRAPH_MEMBER, graph)
        archive.writestr(CARD_MEMBER, card.to_json())
    return card


def read_card(path: str | Path) -> ModelCard:
    """The card inside a `.keras` file, checked against its weights.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: It holds no card, or its weights are not those of the card.
    """
    path = Path(path)
    text = card_text(path)
    if text is None:
        raise CardError(
            f"{path}: expected a model card inside ({CARD_MEMBER}), found none. Without it the bands, level and "
            f"classes are unknown. Add one: landmap models describe {quoted(path)} --bands B04,B03,B02 --level L1C "
            "--classes A,B,… --chips CHIPS"
        )
    card = ModelCard.from_json(text, origin=str(path))
    if card.weights_sha256 != weights_sha256(path):
        raise CardError(
            f"{path}: the weights are not those that the card describes (sha256 differs). Describe the file anew; of "
            "its card only what it says of input and classes can be kept: landmap models describe "
            f"{quoted(path)} --template {quoted(path)} --name NAME"
        )
    return card


def card_text(path: Path) -> str | None:
    """The card inside a `.keras` file as JSON, unchecked; None if it holds none.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: The card is not text.
    """
    with _open_archive(path) as archive:
        if CARD_MEMBER not in archive.namelist():
            return None
        try:
            return archive.read(CARD_MEMBER).decode()
        except UnicodeDecodeError as error:
            raise CardError(
                f"{path}: expected the model card ({CARD_MEMBER}) in UTF-8: {error}. Describe the file anew: "
                f"landmap models describe {quoted(path)} --card card.json"
            ) from error


def keras_version(path: Path) -> str | None:
    """The version of Keras that wrote a `.keras` file; None where the file does not record it."""
    with _open_archive(path) as archive:
        try:
            metadata = json.loads(archive.read(METADATA_MEMBER).decode())
        except (KeyError, ValueError, RecursionError):
            return None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else None


def write_card(
    path: str | Path, card: ModelCard, extra: Mapping[str, str | bytes] | None = None, output: str | Path | None = None
) -> ModelCard:
    """Put a card into a `.keras` file, in place of one that is there. The file is replaced atomically.

    Args:
        path: The `.keras` file.
        card: The card of these weights. An empty `weights_sha256` is filled in.
        extra: Further members of the file by name, such as the table of the split; None adds none.
        output: The file to write; None replaces `path`.

    Returns:
        The card as written.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: The card is that of other weights, or its chip size, bands or classes are not those of the model.
    """
    path = Path(path)
    digest = weights_sha256(path)
    if misfits := card_misfits(json.loads(card.to_json()), read_config(path), digest):
        raise CardError(f"{path}: {'; '.join(misfits)}")
    card = dataclasses.replace(card, weights_sha256=digest)
    members: dict[str, str | bytes | None] = {CARD_MEMBER: card.to_json()}
    if not is_described(path):
        members[SPLIT_MEMBER] = None  # of other weights
    for entry, member in FURTHER.items():
        if getattr(card, entry) is None:
            members[member] = None
        elif member not in (extra or {}) and not _has_member(path, member):
            raise CardError(
                f"{path}: expected the further network inside ({member}) that the card tells of. Take the entry "
                f"{entry!r} out of the card"
            )
    _write_members(path, members | dict(extra or {}), Path(output or path))
    return card


def _has_member(path: Path, member: str) -> bool:
    with _open_archive(path) as archive:
        return member in archive.namelist()


def read_further(path: str | Path, part: PixelPart | ChipPart) -> bytes:
    """A further network of a model file, a `.keras` file of its own.

    Args:
        path: The model file.
        part: What its card says of the network.

    Raises:
        ModelError: The file is damaged, or holds no such network, or another one than its card says.
    """
    member = FURTHER[_entry_of(part)]
    with _open_archive(Path(path)) as archive:
        content = archive.read(member) if member in archive.namelist() else None
    if content is None:
        without = "do without: --detail chip" if isinstance(part, PixelPart) else f"take {_entry_of(part)} off its card"
        raise ModelError(
            f"{path}: expected a further network inside ({member}), as its card says. Get the file anew, or {without}"
        )
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise ModelError(f"{path}: {member} inside is not the network that the card describes (sha256 differs)")
    return content


def _entry_of(part: PixelPart | ChipPart) -> str:
    return "pixels" if isinstance(part, PixelPart) else "chips"


def is_described(path: Path) -> bool:
    """Whether a `.keras` file holds a card of its own weights, or none at all.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
    """
    try:
        text = card_text(path)
        return text is None or read_content(text, str(path)).get("weights_sha256") == weights_sha256(path)
    except CardError:
        return False


def _write_members(path: Path, members: Mapping[str, str | bytes | None], output: Path) -> None:
    """Write a copy of a `.keras` file with some of its members replaced.

    Args:
        path: The file to copy.
        members: Contents of members by name; None leaves a member out.
        output: The file to write, which may be `path`.
    """
    with published(output) as temporary, _open_archive(path) as old, zipfile.ZipFile(temporary, "w") as new:
        for info in old.infolist():
            if info.filename not in members:
                with old.open(info) as source, new.open(info, "w") as target:
                    shutil.copyfileobj(source, target)
        for name, text in members.items():
            if text is not None:
                new.writestr(name, text, compress_type=zipfile.ZIP_DEFLATED)


def attach_nir_prior(path: str | Path, prior: NirPrior | None) -> ModelCard:
    """Give a model a near-infrared prior, in place of one that it has; its weights stay as they are.

    Args:
        path: The model file, with its card inside.
        prior: The prior for the classes of the model; None removes the one that is there.

    Returns:
        The card as written.

    Raises:
        ModelError: The file is not a `.keras` file, or damaged.
        CardError: It holds no card, or the prior does not fit it.
    """
    card = dataclasses.replace(read_card(path), nir=prior)
    try:
        card.check()
    except ValueError as error:
        raise CardError(f"{path}: the near-infrared prior is not usable: {error}") from error
    return write_card(path, card)


def attach_network(path: str | Path, network: str | Path, part: PixelPart | ChipPart) -> ModelCard:
    """Put a further network into a model file, in place of one of its kind that is there.

    Args:
        path: The model, with its card.
        network: A `.keras` file: for pixels as `pixel_unet.with_flags` makes its model, for chips of the model's own
            input and output.
        part: What the card is to say of it; its `sha256` is set to that of the file.

    Returns:
        The card as written.

    Raises:
        ModelError: A file is not a `.keras` file, or damaged.
        CardError: The model holds no card, or the part does not fit it.
    """
    weights_sha256(network)  # refused where it is no such file
    content = Path(network).read_bytes()
    part = dataclasses.replace(part, sha256=hashlib.sha256(content).hexdigest())
    entry = _entry_of(part)
    entries: dict[str, Any] = {entry: part}
    card = dataclasses.replace(read_card(path), **entries)
    try:
        card.check()
    except ValueError as error:
        raise CardError(f"{path}: the network for {entry} is not usable: {error}") from error
    return write_card(path, card, {FURTHER[entry]: content})


@contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a `.keras` file for reading; damage that is found while it is open becomes a ModelError."""
    if not path.exists():
        raise ModelError(f"{path}: no such model file. `landmap models` lists the packaged models")
    try:
        archive = zipfile.ZipFile(path)
    except (*ZIP_DAMAGE, IsADirectoryError) as error:
        raise ModelError(f"{path}: expected a .keras file (Keras 3); this is {foreign_model(path)}") from error
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from error
    with archive:
        if not {WEIGHTS_MEMBER, GRAPH_MEMBER} & set(archive.namelist()):
            raise ModelError(
                f"{path}: expected a .keras file with {WEIGHTS_MEMBER} inside; this zip file has none: it is "
                f"{foreign_model(path)}"
            )
        try:
            yield archive
        except ZIP_DAMAGE as error:
            raise ModelError(f"{path}: expected a whole .keras file, found damage: {error}. Get it anew") from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # a place before the file's beginning: what the archive lists is damaged
                raise
            raise ModelError(f"{path}: expected a whole .keras file, found damage in its list. Get it anew") from error
