"""What rots in the image and the Compose files, seen without a Docker engine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from landmap.cli import cli

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_base_has_a_python_that_landmap_takes() -> None:
    (version,) = re.findall(r"^ARG BASE=python:(\d+\.\d+)-slim-\w+$", DOCKERFILE, flags=re.MULTILINE)
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert stages == ["${BASE}", "${BASE}"], "the environment goes from one to the other, and needs the same Python"


def test_all_extras_that_are_named_exist() -> None:
    (default,) = re.findall(r'^ARG EXTRAS="(.*)"$', DOCKERFILE, flags=re.MULTILINE)
    named = re.findall(r'EXTRAS="(.*?)"', DOCKERFILE + (ROOT / "docker" / "compose.gpu.yaml").read_text())
    assert len(named) >= 3
    assert {extra for group in named for extra in group.split()} <= set(PROJECT["optional-dependencies"])
    for service in SERVICES.values():
        assert service["build"]["args"]["EXTRAS"] == f"${{EXTRAS:-{default}}}"


def test_every_dependency_is_locked() -> None:
    locked = {re.split(r"==", line)[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = {Requirement(text).name for group in groups for text in group} - {"landmap"}
    assert wanted <= locked
    assert "--constraints constraints.txt" in DOCKERFILE


def test_copied_files_exist_and_reach_the_build() -> None:
    copies = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = [name for copy in copies for name in copy.split()]
    assert {"pipeline", "models", "constraints.txt"} <= set(names)
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in names:
        assert (ROOT / name).exists(), name
        assert name not in ignored


def test_nobody_is_root() -> None:
    users = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, flags=re.MULTILINE)
    assert users == [("1000", "1000")]
    last_stage = DOCKERFILE.split("\nFROM ")[-1]
    assert not re.search(r"^(RUN|COPY)", last_stage.split("\nUSER ")[1], flags=re.MULTILINE)


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["cap_drop"] == ["ALL"]
    if service["restart"] != "no":  # it serves
        assert "/health" in service["healthcheck"]["test"][-1]
    assert all(condition == {"condition": "service_healthy"} for condition in service.get("depends_on", {}).values())


def test_dask_acts_before_the_container_is_killed() -> None:
    gpu = yaml.safe_load((ROOT / "docker" / "compose.gpu.yaml").read_text())["services"]["worker"]
    for worker in (SERVICES["worker"], gpu):
        (limit,) = (w.removeprefix("--memory-limit=") for w in worker["entrypoint"] if w.startswith("--memory-limit="))
        assert megabytes(limit) < megabytes(worker["deploy"]["resources"]["limits"]["memory"])


def megabytes(text: str) -> int:
    return int(text[:-1]) * 1000 if text.endswith("G") else int(text.removesuffix("MB"))


def test_no_port_is_open_to_the_network() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_only_the_client_can_write() -> None:
    def mounts(name: str) -> list[Any]:
        return SERVICES[name].get("volumes", [])

    assert [v.endswith(":/data:ro") for v in mounts("worker")] == [True]
    assert [v.endswith(":/data") for v in mounts("landmap")] == [True]
    assert mounts("scheduler") == []


def test_the_command_is_one_of_ours() -> None:
    name, *arguments = SERVICES["landmap"]["command"]
    batch = cli.commands[name]
    assert isinstance(batch, click.Group)
    run = batch.commands["run"].make_context("run", arguments)  # `batch` alone is `batch run`
    assert run.params["scheduler"] == "tcp://scheduler:8786"
