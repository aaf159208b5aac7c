"""Checks of the machine: cores, memory, descriptors, folders, fonts, addresses."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from imgproxy.doctor.finding import Finding, bad, warning
from imgproxy.overload.pressure import Groups
from imgproxy.render.settings import available_cpus
from imgproxy.web.listening import Address, CannotListen, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.settings import Settings

_MB = 1_000_000
_FEW_DESCRIPTORS = 4096
"""Half of them are for clients; the rest is originals, origins and render processes."""
_SERVER = 150 * _MB
"""What the server process takes besides its caches."""
_FREE, _FREE_SHARE = 1 << 30, 0.05
"""Disk that should be left for results."""
_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def findings(settings: Settings) -> Iterator[Finding]:
    """All that can be told without asking anybody."""
    yield cores(settings.pool.workers or available_cpus(), available_cpus())
    groups = Groups.own()
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield memory(settings, min(groups.limit() or physical, physical), groups.used())
    yield allocator(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace"), platform.libc_ver()[0])
    yield descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield _shared_memory(settings.plan.max_src_file_size)
    yield _fonts()
    if root := settings.origin.local_filesystem_root:
        readable = os.access(root, os.R_OK | os.X_OK)
        yield Finding("local files", root) if readable else bad("local files", root, "Let this user read the folder.")
    for variable, bind in (
        ("IMGPROXY_BIND", settings.web.bind),
        ("IMGPROXY_PROMETHEUS_BIND", settings.metrics.prometheus_bind),
        ("IMGPROXY_ADMIN_BIND", settings.admin.admin_bind),
    ):
        if bind:
            yield address(variable, bind)
    if settings.cache.result_store_url.startswith("file://"):
        yield disk(Path(unquote(urlsplit(settings.cache.result_store_url).path)))


def cores(workers: int, available: int) -> Finding:
    """Whether the render processes have cores to run on."""
    text = f"{available}, for {workers} render {'process' if workers == 1 else 'processes'}"
    if workers > available:
        return warning(
            "CPUs", text, f"Set IMGPROXY_WORKERS to {available}, or 0: more of them only wait for each other."
        )
    return Finding("CPUs", text)


def memory(settings: Settings, limit: int, used: float | None) -> Finding:
    """Whether all that may be used fits below the limit (of a cgroup, else the machine's). ``limit``: bytes."""
    workers = (settings.pool.workers or available_cpus()) + 1  # and the spare one
    kept = settings.cache
    caches = kept.memory_cache_size + kept.source_cache_size + kept.mezzanine_cache_size
    most = _SERVER + caches + workers * settings.pool.worker_memory
    now = "" if used is None else f", {100 * used:.0f} % of it in use"
    text = f"{most // _MB} MB at the most ({workers} x worker memory, caches), of {limit // _MB} MB{now}"
    if most > limit:
        each = max(128 << 20, (limit - _SERVER - caches) // workers)
        remedy = (
            f"Set IMGPROXY_WORKER_MEMORY to {each >> 20}MiB, or fewer IMGPROXY_WORKERS: beyond it the kernel kills."
        )
        return warning("memory", text, remedy)
    return Finding("memory", text)


def allocator(maps: str, libc: str) -> Finding:
    """Which malloc there is, by the libraries that are mapped."""
    other = next((name for name in _ALLOCATORS if f"lib{name}" in maps), "")
    if not other and libc != "glibc":
        text = "not glibc's: it is slow with several threads, and gives little back"
        return warning("malloc", text, "Run it on a distribution with glibc, such as Debian.")
    text = other or "glibc; render processes are held to two arenas, and replaced when they grow"
    return Finding("malloc", text)


def descriptors(most: int) -> Finding:
    """Whether enough files and connections can be open."""
    if 0 <= most < _FEW_DESCRIPTORS:
        return bad("descriptors", f"at most {most}", "Raise it: `ulimit -n 65536`, LimitNOFILE= in systemd.")
    return Finding("descriptors", "no limit" if most < 0 else f"at most {most}")


def address(variable: str, bind: str) -> Finding:
    """Whether the server could listen there."""
    name = f"address {bind}"
    if path := Address.parse(bind).path:
        folder = Path(path).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            return bad(name, f"no socket can be made in {folder}", "Make the folder, and let this user write to it.")
        return Finding(name, "can be had")
    try:
        with listening(bind, variable):
            return Finding(name, "is free")
    except CannotListen as error:
        reason, _, remedy = str(error).partition("; ")
        taken = "in use" in reason
        text = "is taken, by a server that runs already perhaps" if taken else reason
        found = warning if taken else bad
        return found(name, text, f"{remedy.capitalize() or 'Choose another address'} ({variable}).")


def disk(folder: Path) -> Finding:
    """Whether there is room for results."""
    name = "disk of results"
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    usage = shutil.disk_usage(existing)
    text = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB free"
    if not os.access(existing, os.W_OK):
        return bad(name, f"{existing} cannot be written to", "Let this user write to the folder.")
    if usage.free < max(_FREE, _FREE_SHARE * usage.total):
        return warning(name, text, "Make room, or shorten IMGPROXY_RESULT_STORE_TTL.")
    return Finding(name, text)


def _shared_memory(largest: int) -> Finding:
    """Sources travel to render processes in memory files."""
    try:
        fd = os.memfd_create("imgproxy-doctor")
        try:
            os.ftruncate(fd, largest or 1 << 30)
            os.write(fd, b"x")
        finally:
            os.close(fd)
    except OSError as error:
        return bad(
            "shared memory", f"memfd_create: {error.strerror}", "Allow memfd_create (seccomp), and raise RLIMIT_FSIZE."
        )
    return Finding("shared memory", f"sources of {largest // _MB} MB fit" if largest else "sources of any size fit")


def _fonts() -> Finding:
    listed = shutil.which("fc-list")
    try:
        ran = subprocess.run([listed or "fc-list"], capture_output=True, timeout=10, check=False)  # noqa: S603
        count = len(ran.stdout.splitlines())
    except (OSError, subprocess.TimeoutExpired):
        folders = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
        count = sum(path.suffix in {".ttf", ".otf", ".ttc"} for folder in folders for path in folder.rglob("*"))
    if not count:
        return warning("fonts", "none: text in SVGs stays empty", "Install some: fonts-dejavu-core in Debian.")
    return Finding("fonts", f"{count} for text in SVGs")
