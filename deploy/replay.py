"""Replays the Dockerfile without a container engine: ``python deploy/replay.py``.

Its RUN and COPY steps are carried out in a temporary folder, with every absolute path moved below
it and .dockerignore obeyed; what needs an image's own root (apt-get, useradd) is named and left
out. Then the result does what the image promises: ENTRYPOINT answers ``version``, ENTRYPOINT and
CMD start a server that HEALTHCHECK finds well, and STOPSIGNAL ends it in good order.

What this cannot show: the base image, Debian's packages, a read-only root.
"""

# ruff: noqa: S603, T201 - a command-line program; the commands are those of our own Dockerfile

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

CONTEXT = Path(__file__).parent.parent
# Where the Dockerfile writes outside its working directory.
MOVED = "/opt/imgproxy"
NEEDS_ROOT = ("apt-get", "useradd")
START_SECONDS = 30.0
STOP_SECONDS = 15.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # the server may run as another user
        replay = Replay(root)
        for keyword, rest in instructions((CONTEXT / "Dockerfile").read_text(encoding="utf-8")):
            replay.step(keyword, rest)
        replay.prove()


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions in order, as keyword and the rest, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(keyword.upper(), rest.strip()) for keyword, rest in found]


class Replay:
    """The image so far: its files below ``root``, its environment and what it declares."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stage = Path()
        self._workdir = Path()
        self._environment: dict[str, str] = {}
        self._declared: dict[str, str] = {}
        self._ignore = (CONTEXT / ".dockerignore").read_text(encoding="utf-8").split("\n")
        # The base's `python`: the interpreter that this one's environment was made from. Not a
        # link, because environments made through a link look for their library beside the link.
        base = root / "base"
        base.mkdir()
        interpreter = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        (base / "python").write_text(f'#!/bin/sh\nexec "{interpreter}" "$@"\n')
        (base / "python").chmod(0o755)
        self._base_path = f"{base}:/usr/bin:/bin"

    def step(self, keyword: str, rest: str) -> None:
        """Carry out one instruction."""
        perform = {
            "FROM": self._from,
            "WORKDIR": self._work,
            "ENV": self._set,
            "RUN": self._run,
            "COPY": self._copy,
        }.get(keyword)
        if perform:
            perform(rest)
        else:
            self._declared[keyword] = rest

    def prove(self) -> None:
        """Do what the finished image promises; leave with a message where it does not."""
        entry: list[str] = json.loads(self._declared["ENTRYPOINT"])
        health: list[str] = json.loads(self._declared["HEALTHCHECK"].partition("CMD")[2])
        user = self._user()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._environment["IMGPROXY_BIND"] = f"127.0.0.1:{free.getsockname()[1]}"
        print(f"> {' '.join(entry)} version")
        subprocess.run([*entry, "version"], **self._place(), check=True, user=user, group=user)

        serve = [*entry, *json.loads(self._declared["CMD"])]
        print(f"> {' '.join(serve)}")
        server = subprocess.Popen(serve, **self._place(), user=user, group=user)
        try:
            self._await_health(server, health)
            server.send_signal(signal.Signals[self._declared["STOPSIGNAL"]])
            code = server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"still running {STOP_SECONDS:g} s after STOPSIGNAL") from None
        finally:
            server.kill()
        if code not in (0, -signal.SIGTERM):
            raise SystemExit(f"ended with {code} after STOPSIGNAL")
        print("replayed: built, healthy, and stopped in good order")

    def _await_health(self, server: subprocess.Popen[Any], health: list[str]) -> None:
        began = time.monotonic()
        while True:
            answer = subprocess.run(health, **self._place(), capture_output=True, check=False)
            took = time.monotonic() - began
            if answer.returncode == 0:
                print(f"> {' '.join(health)}\nhealthy after {took:.1f} s")
                return
            if server.poll() is not None:
                raise SystemExit(f"the server ended with {server.returncode}")
            if took > START_SECONDS:
                raise SystemExit(f"not healthy after {took:.0f} s: {answer.stderr.decode()}")
            time.sleep(0.2)

    def _from(self, rest: str) -> None:
        name = rest.rsplit(maxsplit=1)[-1]
        print(f"stage {name}")
        self._stage = self._root / "stages" / name
        self._environment = {"PATH": self._base_path, "HOME": "/nonexistent", **_pip_settings()}
        self._environment["PIP_QUIET"] = "1"
        self._declared = {}
        self._work("/")

    def _work(self, rest: str) -> None:
        self._workdir = self._stage / rest.lstrip("/")
        self._workdir.mkdir(parents=True, exist_ok=True)

    def _set(self, rest: str) -> None:
        for name, value in re.findall(r"(\w+)=(\S+)", rest):
            expanded = string.Template(value).safe_substitute(self._environment)
            self._environment[name] = self._moved(expanded)

    def _run(self, rest: str) -> None:
        if any(word in rest for word in NEEDS_ROOT):
            print(f"left out, needs an image: {' '.join(rest.split())}")
            return
        print(f"> {' '.join(rest.split())}")
        command = ["/bin/sh", "-euc", self._moved(rest)]
        if subprocess.run(command, **self._place(), check=False).returncode:
            raise SystemExit("that step failed")

    def _copy(self, rest: str) -> None:
        print(f"> COPY {rest}")
        *names, target = rest.split()
        if names[0].startswith("--from="):
            # Both stages share the moved path, because an environment knows where it lives.
            if names[1:] != [target] or not Path(self._moved(target)).exists():
                raise SystemExit(f"only {MOVED} can be copied between stages here")
            return
        for name in names:
            for file in self._sent(name):
                below = file.relative_to(CONTEXT / name)
                copy = self._workdir / target / (below if below.parts else name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)

    def _sent(self, name: str) -> list[Path]:
        """The files of the build context below a name that .dockerignore lets through."""
        start = CONTEXT / name
        files = [file for file in start.rglob("*") if file.is_file()] if start.is_dir() else [start]
        sent = [file for file in files if not self._ignored(file.relative_to(CONTEXT))]
        if not sent or not start.exists():
            raise SystemExit(f"{name} is missing, or .dockerignore keeps it back")
        return sent

    def _ignored(self, path: Path) -> bool:
        """Whether .dockerignore excludes a file: the last line that matches decides."""
        ways = [PurePosixPath(path), *PurePosixPath(path).parents]
        verdict = False
        for line in self._ignore:
            pattern = line.strip().removeprefix("!")
            if not pattern or pattern.startswith("#"):
                continue
            anywhere = pattern.startswith("**/")
            tried = [way.name if anywhere else str(way) for way in ways]
            if any(fnmatch(text, pattern.removeprefix("**/")) for text in tried if text != "."):
                verdict = not line.startswith("!")
        return verdict

    def _moved(self, text: str) -> str:
        return text.replace(MOVED, str(self._root) + MOVED)

    def _place(self) -> dict[str, Any]:
        return {"cwd": self._workdir, "env": self._environment}

    def _user(self) -> int | None:
        """The image's user, if we may become it and it can reach the interpreter."""
        if os.geteuid() != 0:
            return None
        wanted = int(self._declared["USER"].split(":")[0])
        probe = ["python", "-c", "import encodings"]
        try:
            done = subprocess.run(probe, env={"PATH": self._base_path}, user=wanted, check=False, capture_output=True)
        except PermissionError:
            done = None
        if done and done.returncode == 0:
            print(f"as user {wanted}")
            return wanted
        print(f"user {wanted} cannot reach this interpreter: staying root")
        return None


def _pip_settings() -> dict[str, str]:
    """What an engine would pass as build arguments: how pip reaches its index from here."""
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY")
    wanted = {*names, *(name.lower() for name in names)}
    return {k: v for k, v in os.environ.items() if k in wanted or k.startswith("PIP_")}  # noqa: TID251


if __name__ == "__main__":
    main()
