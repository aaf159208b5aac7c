"""Programs from package registries, each in an environment of its own below a cache directory.

Nothing of them is in the repository. What cannot be installed is left out of the race, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "imgproxy-bench"
_IPX = {"private": True, "dependencies": {"ipx": "^3.1.1", "sharp": "^0.35.0"}, "overrides": {"sharp": "$sharp"}}
_PATIENCE_S = 600


class Missing(Exception):
    """A program is not there, and why."""


def python_program(name: str, package: str) -> Path:
    """The ``bin`` directory of a virtual environment with one package."""
    folder = CACHE / name
    done = folder / ".done"
    if not done.exists():
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", package])
        done.touch()
    return folder / "bin"


def ipx() -> Path:
    """The folder whose ``node_modules`` has IPX and one sharp, which IPX uses as well."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise Missing("node and npm are not installed")
    folder = CACHE / "ipx"
    folder.mkdir(parents=True, exist_ok=True)
    manifest, done = json.dumps(_IPX), folder / ".done"
    if not done.exists() or done.read_text() != manifest:
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        (folder / "package-lock.json").unlink(missing_ok=True)
        (folder / "package.json").write_text(manifest)
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder)
        done.write_text(manifest)
    return folder


def on_path(name: str) -> Path:
    """A program that somebody has installed."""
    found = shutil.which(name)
    if not found:
        raise Missing(f"no {name} on the path")
    return Path(found)


def oximg(*, build: bool) -> Path:
    """The program on the path, or as built before; built now if that is asked for, which takes minutes."""
    built = CACHE / "oximg" / "bin" / "oximg"
    if found := shutil.which("oximg"):
        return Path(found)
    if not built.exists():
        if not build:
            raise Missing("no oximg on the path; --build-oximg builds it with cargo")
        _run(["cargo", "install", "oximg", "--locked", "--root", str(CACHE / "oximg")])
    return built


def version(command: list[str]) -> str:
    """The first number that a program prints, or nothing."""
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", out.stdout + out.stderr)
    return found[0] if found else ""


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from None
    except subprocess.CalledProcessError as error:
        raise Missing(f"{command[0]}: {error.stderr.strip()[-300:]}") from None
