"""Shells complete what can be typed: `docs/index.md` says how to switch it on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, CompletionItem

from landmap.cli import cli


def run(**environment: str) -> str:
    """What `landmap` prints with these variables, as a shell calls it."""
    program = [sys.executable, "-c", "from landmap.cli import main; main()"]
    done = subprocess.run(program, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_documented_line_prints_a_script(shell: str) -> None:
    line = f"_LANDMAP_COMPLETE={shell}_source"
    assert line in (Path(__file__).parents[3] / "docs/index.md").read_text()
    variable, _, value = line.partition("=")
    script = run(**{variable: value})
    assert f"{variable}={shell}_complete" in script, "the script asks the same program"


def test_the_script_gets_its_answers() -> None:
    answer = run(_LANDMAP_COMPLETE="bash_complete", COMP_WORDS="landmap cl", COMP_CWORD="1")
    assert answer == "plain,classify\n"


def completions(line: str, incomplete: str) -> list[CompletionItem]:
    shell = BashComplete(cli, {}, "landmap", "_LANDMAP_COMPLETE")
    return shell.get_completions(line.split(), incomplete)


@pytest.mark.parametrize(
    ("line", "incomplete", "values"),
    [
        ("classify", "--conf", ["--confidence"]),
        ("classify scene.tif --stride", "", ["64", "32", "16", "8"]),
        ("models", "de", ["describe"]),
        ("batch", "st", ["status"]),
        ("batch scenes/", "--retry-f", ["--retry-failed"]),
        ("batch scenes/", "--retr", ["--retry-failed", "--retries", "--retry-after"]),
    ],
)
def test_commands_options_and_values(line: str, incomplete: str, values: list[str]) -> None:
    assert [item.value for item in completions(line, incomplete)] == values


@pytest.mark.parametrize(
    "line",
    [
        "classify",
        "plan",
        "bench",
        "report",
        "batch",
        "batch run",
        "batch run a.tif",
        "classify --model",
        "evaluate",
        "predict",
    ],
)
def test_files(line: str) -> None:
    assert [item.type for item in completions(line, "sc")] == ["file"]


def test_what_is_completed_as_a_file_need_not_be_one() -> None:
    for name in ("https://host/scene.tif?key=1", "/vsizip/scene.zip/B04.jp2", "default"):
        context = cli.commands["plan"].make_context("plan", [name])
        assert context.params["scene"] == name
