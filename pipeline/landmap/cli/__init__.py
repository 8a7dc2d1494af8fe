"""The command line: it parses, calls the library and prints. Nothing is decided here."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any, NoReturn

import click

from landmap.cli.batch import COMMANDS as BATCH_COMMANDS
from landmap.cli.classify import COMMANDS as SCENE_COMMANDS
from landmap.cli.help import Group
from landmap.cli.maps import COMMANDS as MAP_COMMANDS
from landmap.cli.messages import messages
from landmap.cli.models import COMMANDS as MODEL_COMMANDS
from landmap.errors import LandmapError, SettingsError
from landmap_models.inference.lean_keras import lean_keras

SECTIONS = {
    "Make maps": ("classify", "batch", "plan"),
    "Use maps": ("quicklook", "report", "mosaic", "vectorize", "summarize", "design", "assess", "compare-maps"),
    "Models": ("models", "chips", "train", "suggest", "compare", "evaluate", "predict"),
    "Try it out": ("example", "bench"),
}
"""The commands in the order of the help text."""


@click.group(cls=Group, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landmap", message="landmap %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context) -> None:
    """Land-cover maps from Sentinel-2 scenes."""
    context.with_resource(messages())


for command in (*SCENE_COMMANDS, *BATCH_COMMANDS, *MAP_COMMANDS, *MODEL_COMMANDS):
    cli.add_command(command)


def _terminate(number: int, frame: object) -> None:
    """End as after Ctrl-C, so that temporary files are removed. Schedulers of jobs send SIGTERM."""
    raise KeyboardInterrupt


def _end_on_signals() -> None:
    signal.signal(signal.SIGTERM, _terminate)
    # Sent when the terminal is closed; nohup has it ignored, which it stays. Windows has no such signal.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)


def _fail(error: LandmapError | OSError) -> NoReturn:
    """Print the error in one line and exit; print nothing if the reader of stdout went away."""
    if isinstance(error, OSError):
        _drop_output()
    if not isinstance(error, BrokenPipeError):
        click.echo(f"landmap: error: {_words(error)}", err=True)
    sys.exit(2 if isinstance(error, SettingsError) else 1)


def _words(error: LandmapError | OSError) -> str:
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _drop_output() -> None:
    """Discard what stdout still holds: Python would try to write it again at exit, and report that as an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _without_gdal_messages(unraisable: Any) -> None:
    """Ignore messages of GDAL that rasterio can't decode: they quote names out of damaged files."""
    if not isinstance(unraisable.exc_value, UnicodeDecodeError):
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Run the command line.

    Errors that landmap raises on purpose and those of the operating system are printed as one line, with exit status 1,
    or 2 for a setting that can't be meant.
    """
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)  # GDAL's messages reach the user in landmap's own errors
    sys.unraisablehook = _without_gdal_messages
    _end_on_signals()
    lean_keras()
    arguments = [a for a in sys.argv[1:] if a != "--debug"]  # accepted anywhere in the line
    try:
        cli.main(arguments, prog_name="landmap", standalone_mode=False)
        sys.stdout.flush()  # here, where the error of a full disk can still be printed
    except (LandmapError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        _fail(error)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("landmap: interrupted", err=True)
        sys.exit(130)
    leave(0)


def leave(status: int) -> NoReturn:
    """End the process at once, without the interpreter's tear-down, which takes TensorFlow a second.

    When a command returns, its files have their names and are closed, its pools and clusters have ended with their
    contexts, and no thread has work left; what remains is memory that the system takes back. A profiler or a debugger
    writes at the tear-down: under one, the process ends in the usual way.

    Args:
        status: The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if sys.getprofile() or sys.gettrace() or sys.flags.inspect:
        sys.exit(status)
    os._exit(status)
