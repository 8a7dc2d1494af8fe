"""The Dockerfile's instructions, in order, without a Docker engine: each stage in a copy of a root folder, by chroot.

    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm ROOT
    sudo python docker/try_in_chroot.py ROOT STAGES [NAME=VALUE ...]

ROOT stands in for the base image, STAGES is a new folder for what is built: 0 is the first stage, the last the image.
NAME=VALUE are build arguments. Understood are the instructions and forms that this Dockerfile uses, and no others. The
context is what git has committed. To run more than `landmap --help` in it, mount what Docker would:

    mount -t proc proc STAGES/1/proc && mount -t tmpfs tmpfs STAGES/1/dev/shm
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass
class Stage:
    """What a stage of the build has come to."""

    root: Path
    """Of its file system."""
    env: dict[str, str]
    """Build arguments and variables."""
    workdir: str = "/"
    """Where commands run and relative paths begin."""
    user: str = "0:0"
    """Who runs them."""
    commands: dict[str, list[str]] = field(default_factory=dict)
    """ENTRYPOINT and CMD."""

    def run(self, *command: str) -> None:
        """Run a command inside."""
        enter = ["chroot", f"--userspec={self.user}", str(self.root), "/usr/bin/env", "-i", f"--chdir={self.workdir}"]
        home = "/root" if self.user == "0:0" else "/home/landmap"
        variables = [f"{name}={value}" for name, value in {"HOME": home, **self.env}.items()]
        subprocess.run([*enter, *variables, *command], check=True)

    def copy(self, source: Path, names: list[str], target: str) -> None:
        """COPY: the content of folders, or files."""
        for name in names:
            there = self.root / (Path(self.workdir) / target).relative_to("/")
            if (source / name).is_dir():
                shutil.copytree(source / name, there, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(source / name, there)


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and arguments of each."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def substituted(text: str, variables: dict[str, str]) -> str:
    """With $NAME and ${NAME} replaced."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables[match[1]], text)


def build(base: Path, stages: Path, given: dict[str, str]) -> Stage:
    """Build all stages; returns the last."""
    context = stages / "context"
    context.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=HERE.parent, capture_output=True, check=True)
    subprocess.run(["tar", "x"], cwd=context, input=archive.stdout, check=True)
    named: dict[str, Stage] = {}
    stage = Stage(stages, {})
    for name, rest in instructions((context / "docker" / "Dockerfile").read_text()):
        print(f"--- {name} {rest}", flush=True)
        if name == "FROM":
            key = rest.split(" AS ")[-1]
            stage = named[key] = Stage(stages / str(len(named)), {"PATH": PATH})
            subprocess.run(["cp", "-a", base, stage.root], check=True)
        elif name == "ARG":
            key, _, default = rest.partition("=")
            stage.env[key] = given.get(key, default.strip('"'))
        elif name == "ENV":
            stage.env |= dict(pair.split("=", 1) for pair in substituted(rest, stage.env).split())
        elif name == "WORKDIR":
            stage.workdir = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = rest
        elif name == "COPY":
            *names, target = rest.split()
            source = named[names.pop(0).removeprefix("--from=")].root if names[0].startswith("--from=") else context
            stage.copy(source, [n.lstrip("/") for n in names], target)
        elif name == "RUN":
            stage.run("/bin/sh", "-c", rest)
        elif name in ("ENTRYPOINT", "CMD"):
            stage.commands[name] = json.loads(rest)
        elif rest != "NONE":
            sys.exit(f"not understood: {name} {rest}")
    return stage


def main() -> None:
    """Read the arguments."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    base, stages, *given = sys.argv[1:]
    stage = build(Path(base), Path(stages), dict(pair.split("=", 1) for pair in given))
    stage.run(*stage.commands["ENTRYPOINT"], *stage.commands["CMD"])


if __name__ == "__main__":
    main()
