"""The systemd units and the crontab say what they mean."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from landmap.cli import cli

WORKFLOWS = Path(__file__).parents[1] / "workflows"
PROGRAM = "/opt/landmap/bin/landmap"


def crontab_line() -> str:
    lines = (WORKFLOWS / "cron" / "landmap.cron").read_text().splitlines()
    (line,) = (line for line in lines if line and not line.startswith("#") and not re.match(r"\w+=", line))
    return line


def commands() -> list[str]:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign, assignment] # systemd's names have capitals
    unit.read(WORKFLOWS / "systemd" / "landmap.service")
    return [unit["Service"]["ExecStart"], crontab_line()]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for path in (WORKFLOWS / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, shutil.which("true") or ""))
    units = sorted(tmp_path.iterdir())
    assert [u.name for u in units] == ["landmap.service", "landmap.timer"]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (when,) = re.findall(r"OnCalendar=(.*)", units[1].read_text())
    subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=True)


def test_a_crontab_line_is_understood() -> None:
    minute, hour, *any_day, user, command = crontab_line().split(maxsplit=6)
    assert 0 <= int(minute) < 60
    assert 0 <= int(hour) < 24
    assert any_day == ["*", "*", "*"]
    assert user == "landmap"
    assert "%" not in command, "cron makes a line break of it"


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is not installed")
def test_cron_starts_no_second_run(tmp_path: Path) -> None:
    """The line's own command, with a stand-in for landmap that takes a while."""
    for folder in ("scenes", "covers"):
        (tmp_path / folder).mkdir()
    stub = tmp_path / "landmap"
    stub.write_text("#!/bin/sh\necho $$ >>began\nsleep 1\nexit 3\n")
    stub.chmod(0o755)
    command = crontab_line().split(maxsplit=6)[6].replace("/srv/landmap", str(tmp_path)).replace(PROGRAM, str(stub))
    first = subprocess.Popen(["/bin/sh", "-c", command])
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    second = subprocess.run(["/bin/sh", "-c", command], check=False)
    assert second.returncode == 0
    assert first.wait() == 3, "a failure is cron's to mail"
    assert len((tmp_path / "began").read_text().split()) == 1


@pytest.mark.parametrize("line", commands(), ids=["systemd", "cron"])
def test_the_commands_are_ours(line: str) -> None:
    name, *arguments = shlex.split(line.split(PROGRAM)[1])
    cli.commands[name].make_context(name, arguments, resilient_parsing=False)
