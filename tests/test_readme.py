"""The commands in the README do what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from landmap.cli import cli
from landmap_models.packaged import packaged_models

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_the_commands_run(tmp_path: Path) -> None:
    """All of them in the README's order, in one folder, with warnings as errors where they are ours."""
    runner = [sys.executable, "-c", "from landmap.cli import main; main()"]
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) >= 6
    for line in lines:
        program, *arguments = line.split()
        assert program == "landmap"
        done = subprocess.run([*runner, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Forest" in done.stdout
    names = {p.name for p in tmp_path.iterdir()}
    assert {
        "scene.tif",
        "cover.tif",
        "cover.tif.aux.xml",
        "cover.qml",
        "report.html",
        "confidence.tif",
        "cover.png",
        "python.tif",
    } <= names


@pytest.mark.parametrize("document", ["README.md", "docs/training.md"])
def test_commands_that_take_long_are_spelt_right(document: str) -> None:
    """Those in plain blocks: their options exist, and their values can be read."""
    text = (ROOT / document).read_text().replace("\\\n", " ")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for word, block in fenced if not word for line in block.splitlines() if line.startswith("landmap")]
    assert len(lines) >= 5
    for line in lines:
        _, name, *arguments = shlex.split(line)
        cli.commands[name].make_context(name, arguments, resilient_parsing=False)


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {t for line in re.findall(r"make ([a-z ]+)", README) for t in line.split()[:1]}
    assert {"demo", "test", "setup"} <= targets
    for target in targets & {"demo", "test", "setup", "check", "bench", "lock"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_linked_files_exist() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text()):
            assert (ROOT / link).exists(), f"{document} links to {link}"


def test_the_architecture_names_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for package in ("pipeline/landmap", "models/landmap_models"):
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT / package).with_suffix("").as_posix()
            if path.stem != "__init__":
                assert f"`{name}`" in text, f"ARCHITECTURE.md does not mention {package}/{name}"
