"""The commands in the README and on the pages of docs/ do what is said there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from landmap.cli import cli
from landmap_models.model_file.packaged import packaged_models

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md"))


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of each block, with continued lines made one."""
    text = (ROOT / document).read_text().replace("\\\n", " ")
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(document: str, language: str) -> list[str]:
    lines = [line for word, block in blocks(document) if word == language for line in block.splitlines()]
    return [line for line in lines if line.startswith("landmap ")]


@pytest.mark.skipif(not packaged_models(), reason="the packaged model is not there")
def test_the_commands_run(tmp_path: Path) -> None:
    """Those in bash blocks, the README's first, in one folder, with warnings as errors where they are ours."""
    runner = [sys.executable, "-c", "from landmap.cli import main; main()"]
    lines = [line for document in ("README.md", *PAGES) for line in commands(document, "bash")]
    assert len(lines) >= 6
    for line in lines:
        _, *arguments = line.split()
        done = subprocess.run([*runner, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    (code,) = [block for word, block in blocks("README.md") if word == "python"]
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


def test_commands_that_take_long_are_spelt_right() -> None:
    """Those in plain blocks: their options exist, and their values can be read."""
    lines = [line for document in ("README.md", *PAGES) for line in commands(document, "")]
    assert len(lines) >= 20
    for line in lines:
        _, name, *arguments = shlex.split(line)
        cli.commands[name].make_context(name, arguments, resilient_parsing=False)


def test_the_citation_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {t for line in re.findall(r"make ([a-z ]+)", README) for t in line.split()[:1]}
    assert {"demo", "test", "setup"} <= targets
    for target in targets & {"demo", "test", "setup", "check", "docs", "bench", "lock"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_linked_files_exist() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):  # docs/: `make docs`
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text()):
            assert (ROOT / link).exists(), f"{document} links to {link}"


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for root in ("pipeline/landmap", "models/landmap_models"):
        for path in (ROOT / root).iterdir():
            if path.suffix == ".py" or (path / "__init__.py").exists():
                name = path.stem
                assert name.startswith("__") or f"`{name}`" in text, f"ARCHITECTURE.md does not mention {root}/{name}"


def test_the_architecture_is_one_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 100
