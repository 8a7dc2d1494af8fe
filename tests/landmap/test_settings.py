"""Settings are checked where they are set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from landmap.errors import SettingsError
from landmap.settings import Settings


@pytest.mark.parametrize(
    "choices",
    [{"scale": np.float32(1e-4)}, {"offset": np.int16(-1000)}, {"stride": np.int64(16)}, {"scale": 1}, {"chunk": None}],
)
def test_numbers_of_any_kind_are_numbers(choices: dict[str, Any]) -> None:
    Settings(**choices)


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
