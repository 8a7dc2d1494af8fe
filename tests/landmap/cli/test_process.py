"""The process of the command line ends at once, with what it printed printed, and its status."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAVE = "import atexit; from landmap.cli import leave; atexit.register(print, 'torn down'); print('done'); "


@pytest.mark.parametrize("status", [0, 3])
def test_leaving_flushes_and_skips_the_tear_down(status: int) -> None:
    done = subprocess.run([sys.executable, "-c", f"{LEAVE}leave({status})"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("done\n", status)


def test_a_profiler_still_writes_what_it_found() -> None:
    code = f"import sys; {LEAVE}sys.setprofile(lambda *a: None); leave(0)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "done\ntorn down\n"


def test_the_command_line_leaves_so() -> None:
    code = "import atexit, sys; from landmap.cli import main; atexit.register(print, 'torn down'); main()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("landmap ")
    assert "torn down" not in done.stdout
