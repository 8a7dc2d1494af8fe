"""A card is written into a `.keras` file: an existing one, or one that is made of given and measured entries.

Models that maps can't be drawn with are refused by the same checks as in `landmap classify`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from landmap_models.errors import CardError, ModelError
from landmap_models.inference.classifier import check_answers, noise_chips
from landmap_models.inference.keras_classifier import KerasClassifier, check_form
from landmap_models.inference.loading import load_model
from landmap_models.inference.per_pixel import KerasPixelModel, check_pixel_answers
from landmap_models.inference.tensorflow import quietly
from landmap_models.model_file.archive import (
    card_text,
    is_described,
    keras_version,
    read_card,
    read_config,
    weights_sha256,
    write_card,
)
from landmap_models.model_file.card import ModelCard, content_faults, read_content
from landmap_models.model_file.card_fit import card_misfits, unbound_claims
from landmap_models.model_file.foreign_models import quoted
from landmap_models.model_file.packaged import find_model, packaged_models
from landmap_models.publish import first_same, published

if TYPE_CHECKING:  # these import Keras
    from landmap_models.datasets.chips import ChipFolder
    from landmap_models.evaluation.described_card import Described, Given

STDIN = "-"
"""Name of a card that stands for standard input."""


def put_card(model: str | Path, card: str | Path, *, output: Path | None = None, overwrite: bool = False) -> ModelCard:
    """Put a card into a model file.

    Args:
        model: The `.keras` file, or the name of a packaged model.
        card: JSON file as `landmap models show --json` prints it; "-" reads standard input.
        output: Where the model with its card is written; None replaces `model`.
        overwrite: Whether an existing `output` may be replaced.

    Raises:
        ModelError: Maps can't be drawn with the model, or the output exists.
        CardError: The card has faults, or is that of other weights; the message names all faults.
    """
    path = find_model(model)
    target = _target(path, output, overwrite=overwrite)
    origin, text = _read_card_file(card)
    content = read_content(text, origin)
    network = load_model(path)
    per_pixel = content.get("answers") == "pixel"
    if not per_pixel:
        check_form(network, str(path))
    config, digest = read_config(path), weights_sha256(path)
    faults = [*content_faults(content), *card_misfits(content, config, digest), *unbound_claims(content)]
    if faults:
        raise CardError(f"{path}: the model card {origin} is not usable: {'; '.join(faults)}")
    made = ModelCard.from_content(content)
    _check_name(made.name, digest)
    if per_pixel:
        check_pixel_answers(KerasPixelModel(network, made))
    else:
        classifier, noise = KerasClassifier(network, made), noise_chips(made)
        check_answers(classifier.predict(noise), len(noise), made)
    return write_card(path, made, output=target)


def describe_file(
    model: str | Path,
    given: Given,
    *,
    template: str | Path | None = None,
    chips: str | Path | None = None,
    file_bands: Sequence[str] | None = None,
    skip_bad: bool = False,
    output: Path | None = None,
    overwrite: bool = False,
) -> Described:
    """Describe a model by given entries and measurements on chips, and write it with its card.

    Args:
        model: The `.keras` file, or the name of a packaged model.
        given: Entries that the user gives.
        template: Card (JSON), model file or packaged name from which bands, classes, level and resolution are taken
            where they are not given; None: no template.
        chips: Chips to measure the model on, as in `open_chips`; a folder without class folders has no labels. None:
            nothing is measured.
        file_bands: Names of the bands of the chips, in order; None: the files name them.
        skip_bad: Whether chips that can't be used are left out.
        output: The file to write; None replaces `model`.
        overwrite: Whether an existing `output`, or a card of these weights, may be replaced.

    Raises:
        ModelError: Maps can't be drawn with the model, it does not predict probabilities, or the output exists.
        CardError: An entry is neither given nor measured, or contradicts the model; the message names all.
        DatasetError: The chips can't be used, or don't fit the model.
    """
    path = find_model(model)
    target = _target(path, output, template, overwrite=overwrite)
    if output is None and not overwrite:
        _refuse_described(path)
    like = None if template is None else _read_template(template)
    network = load_model(path)
    from landmap_models.evaluation.described_card import make_card

    opened = None if chips is None else partial(_open, chips, file_bands, skip_bad)
    found = make_card(network, given, like, opened, str(path))
    if found.model is network:
        _check_name(given.name, weights_sha256(path))
        return dataclasses.replace(found, card=_write(path, found, path, target))
    _check_name(given.name, "")
    with published(target) as changed:
        found.model.save(changed)
        return dataclasses.replace(found, card=_write(changed, found, path, changed))


def _write(path: Path, found: Described, origin: Path, target: Path) -> ModelCard:
    """Write the card, with the version of Keras that wrote the weights, into the file."""
    version = keras_version(origin)
    card = dataclasses.replace(found.card, versions={"keras": version} if version else {})
    return write_card(path, card, output=target)


def _target(path: Path, output: Path | None, template: str | Path | None = None, *, overwrite: bool) -> Path:
    """The file to write, which is never a packaged model or the template."""
    if output is None:
        if path in packaged_models().values():
            raise ModelError(f"{path.stem}: comes with landmap and stays as it is. Write to a file of your own with -o")
        return path
    if output.suffix != ".keras":
        raise ModelError(f"{output}: expected a file name that ends in .keras")
    if output.exists() and not overwrite:
        raise ModelError(f"{output}: exists already. Choose another name or give --overwrite")
    read = [*packaged_models().values(), *([] if template is None else [template])]
    if first_same([output], read):
        raise ModelError(f"{output}: is the template or a packaged model, and stays as it is. Choose another name")
    if not output.parent.is_dir():
        raise ModelError(f"{output}: expected a file in a folder that exists")
    return output


def _refuse_described(path: Path) -> None:
    """Refuse a file with a card of its weights, which may hold what can't be measured again."""
    if card_text(path) is None or not is_described(path):
        return
    raise ModelError(
        f"{path}: has a card of its weights already. To change it: landmap models show {quoted(path)} --json > "
        f"card.json, and after editing landmap models describe {quoted(path)} --card card.json. To make a new one, "
        "give -o FILE or --overwrite"
    )


def _read_card_file(card: str | Path) -> tuple[str, str]:
    """Name and text of a card; PowerShell writes UTF-16, other programs begin UTF-8 with a mark."""
    name = "standard input" if str(card) == STDIN else str(card)
    try:
        raw = sys.stdin.buffer.read() if str(card) == STDIN else Path(card).read_bytes()
    except OSError as error:
        raise CardError(f"{name}: can't be read ({error.strerror})") from error
    if raw.startswith(b"PK"):
        raise CardError(f"{name}: expected a card as JSON. Received: a model. Give it as --template")
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return name, raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise CardError(f"{name}: expected a card as JSON in UTF-8: {error}") from error


def _read_template(template: str | Path) -> ModelCard:
    """Read a card of any weights from a JSON file, a model file or a packaged model."""
    path = Path(template)
    if str(template) == STDIN or (path.is_file() and path.suffix.lower() == ".json"):
        origin, text = _read_card_file(template)
        return ModelCard.from_json(text, origin=origin)
    found = find_model(template)
    text_inside = card_text(found)
    return read_card(found) if text_inside is None else ModelCard.from_json(text_inside, origin=str(found))


def _open(chips: str | Path, file_bands: Sequence[str] | None, skip_bad: bool, bands: tuple[str, ...]) -> ChipFolder:
    """Open labelled chips, or chips without labels where there are no two class folders."""
    with quietly():
        from landmap_models.datasets.chips import open_chips
    from landmap_models.datasets.catalogue import find_catalogue

    labelled = len(find_catalogue(Path(chips)).class_names) > 1
    return open_chips(chips, bands=bands, file_bands=file_bands, skip_bad=skip_bad, labelled=labelled)


def _check_name(name: str, digest: str) -> None:
    """Refuse the name of a packaged model for other weights."""
    packaged = packaged_models().get(name)
    if packaged is not None and weights_sha256(packaged) != digest:
        raise CardError(f"{name}: is a packaged model's name, and these are other weights. Give another: --name NAME")
