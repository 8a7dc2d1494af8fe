"""Settings are checked where they are set."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from landmap.errors import SettingsError
from landmap.settings import AreaSettings, Choices, ComputeSettings, ReadingSettings, Settings


@pytest.mark.parametrize(
    "choices",
    [{"scale": np.float32(1e-4)}, {"offset": np.int16(-1000)}, {"stride": np.int64(16)}, {"scale": 1}, {"chunk": None}],
)
def test_numbers_of_any_kind_are_numbers(choices: dict[str, Any]) -> None:
    ((name, value),) = choices.items()
    assert getattr(Settings(**choices), name) == value


@pytest.mark.parametrize(
    "choices",
    [
        {"scale": True},
        {"scale": None},
        {"scale": float("nan")},
        {"offset": False},
        {"offset": float("inf")},
        {"stride": "16"},
        {"stride": 16.0},
        {"chunk": 1.5},
        {"threads": 0},
        {"batch_size": True},
    ],
)
def test_what_is_no_number_of_its_kind_is_refused(choices: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="xpected"):
        Settings(**choices)


def test_choices_are_the_fields_of_settings_with_their_types() -> None:
    """Editors and mypy read `Choices`, Python reads `Settings`."""
    fields = {field.name: field.type for field in dataclasses.fields(Settings)}
    written = {name: hint.__forward_arg__ for name, hint in Choices.__annotations__.items()}
    assert written == fields


@pytest.mark.parametrize(
    ("group", "wrong"),
    [(ReadingSettings, {"level": "L3"}), (AreaSettings, {"window": (0, 0, 0, 0)}), (ComputeSettings, {"stride": 0})],
)
def test_each_group_of_settings_checks_its_own(group: type, wrong: dict[str, object]) -> None:
    assert isinstance(Settings(), group)
    for kind in (group, Settings):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            kind(**wrong)
