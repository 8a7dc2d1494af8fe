"""The networks that a comparison trains: names of architectures, or a YAML or JSON file with a list of settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from landmap_models.errors import ModelError
from landmap_models.training.settings import TrainSettings, recommended

NAME = re.compile(r"\w[\w .+-]{0,99}")
"""Form of the name of a network, by which its model file and report are called."""
SHARED = (
    *("bands", "file_bands", "skip_bad", "limit", "seed"),
    *("split", "validation", "test", "coordinates", "block_km", "buffer", "allow_overlap"),
)
"""Settings that choose and split the chips, which are the same for all networks of a comparison."""


def networks_of(
    architectures: Sequence[str], file: str | Path | None = None, given: Mapping[str, Any] | None = None
) -> dict[str, TrainSettings]:
    """Settings of the networks to compare, by name.

    Args:
        architectures: Names of architectures, each with its default options.
        file: YAML or JSON file with a list of further networks: mappings of settings, fields of `TrainSettings`.
            `name` is the architecture's where it is not given. None: no further ones.
        given: Settings of all networks; those of the file come first. None: the defaults.

    Raises:
        ModelError: There is no network, two have one name, the file can't be read, or a setting is unknown or can't be
            meant. The message names file, entry and setting.
    """
    entries: list[tuple[str, Mapping[str, Any]]] = [(name, {"architecture": name}) for name in architectures]
    if file is not None:
        entries += [(f"{file}, entry {number}", entry) for number, entry in enumerate(read_list(file), 1)]
    if not entries:
        raise ModelError("Expected some networks to compare. Received: none")
    networks: dict[str, TrainSettings] = {}
    for where, entry in entries:
        settings = _settings(entry, given or {}, where)
        if settings.name.casefold() in map(str.casefold, networks):
            raise ModelError(f"{where}: name: expected another for each network. Received: {settings.name!r} again")
        networks[settings.name] = settings
    return networks


def read_list(file: str | Path) -> list[Mapping[str, Any]]:
    """The list of mappings in a YAML or JSON file.

    Raises:
        ModelError: The file can't be read, or holds something else.
    """
    path = Path(file)
    try:
        content = _parsed(path.read_text(encoding="utf-8-sig"), path)
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path}: expected YAML or JSON. {' '.join(str(error).split())}") from error
    if not isinstance(content, list):
        kind = "a mapping" if isinstance(content, dict) else repr(content)
        raise ModelError(f"{path}: expected a list of networks, each a mapping of settings. Received: {kind}")
    for number, entry in enumerate(content, 1):
        if not isinstance(entry, dict):
            raise ModelError(f"{path}, entry {number}: expected a mapping of settings. Received: {entry!r}")
    return content


def _parsed(text: str, path: Path) -> Any:
    if path.suffix.lower() == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _settings(entry: Mapping[str, Any], given: Mapping[str, Any], where: str) -> TrainSettings:
    """The settings of one network: those of its entry, else those given for all, else those that usually work."""
    fields = dict(given) | dict(entry)
    pretrained = fields.get("weights", "none") != "none" or fields.get("start_from") is not None
    architecture = fields.get("architecture", TrainSettings().architecture)
    name = architecture if fields.get("start_from") is None else Path(str(fields["start_from"])).stem
    try:
        settings = TrainSettings.from_content(recommended(pretrained) | {"name": name} | fields)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error
    if not NAME.fullmatch(settings.name):
        raise ModelError(
            f"{where}: name: expected letters, digits, spaces and .+-_, as a file is called by it. "
            f"Received: {settings.name!r}"
        )
    return settings


def check_shared(networks: Mapping[str, TrainSettings]) -> None:
    """Refuse networks that would not be trained and tested on the same chips.

    Raises:
        ModelError: Two differ in one of `SHARED`.
    """
    (first, wanted), *others = networks.items()
    for name, settings in others:
        for field in SHARED:
            value, common = getattr(settings, field), getattr(wanted, field)
            if value != common:
                raise ModelError(
                    f"{name}: {field}: expected {common!r} as for {first}, since networks are compared on the same "
                    f"chips. Received: {value!r}. Give it for all of them"
                )
