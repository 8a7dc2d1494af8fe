"""A plan is printed in the same words everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from landmap.inference.plan import make_plan
from landmap.inference.plan_text import plan_lines
from landmap_models.inference.classifier import FAKE_CARD


def test_a_plan_is_printed_as_the_command_prints_it(write_scene: Callable[..., Path], ordinary: Any) -> None:
    scene = write_scene(ordinary(150, 210), name="a&b.tif")
    plan = make_plan(scene, card=FAKE_CARD, sieve=9, unknown_below=40)
    lines = str(plan).splitlines()
    assert lines[0] == f"scene    {scene}: 150 rows x 210 columns, uint16"
    assert "method   chip by chip: the classifier is no file of a Keras model" in lines
    assert "then     confidence below 40 % is Unknown, then regions under 9 px join their largest neighbour" in lines
    assert lines[-1] == f"warning  {plan.warnings[-1]}"
    assert [line[:9].strip() for line in lines[: -len(plan.warnings)]] == [name for name, _ in plan_lines(plan)]
    assert "a&amp;b.tif: 150 rows" in plan._repr_html_()
    assert len(repr(plan)) < 200
    assert json.loads(json.dumps(plan.to_dict()))["grid"]["method"] == plan.method.text
