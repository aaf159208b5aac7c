"""What the machine alone tells."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from imgproxy.doctor import machine
from imgproxy.doctor.others import clock
from imgproxy.settings import Settings


@pytest.mark.parametrize(("workers", "level"), [(1, "good"), (4, "good"), (5, "warning")])
def test_cores(workers: int, level: str) -> None:
    assert machine.cores(workers, 4).level == level


def test_memory() -> None:
    settings = Settings.read({"IMGPROXY_WORKERS": "3", "IMGPROXY_WORKER_MEMORY": "1GiB"})
    fits = machine.memory(settings, 5 << 30, 0.25)
    assert (fits.level, "25 % of it in use" in fits.text) == ("good", True)
    tight = machine.memory(settings, 4 << 30, None)
    assert tight.level == "warning"
    assert "Set IMGPROXY_WORKER_MEMORY to 940MiB" in tight.remedy
    advised = Settings.read({"IMGPROXY_WORKERS": "3", "IMGPROXY_WORKER_MEMORY": "940MiB"})
    assert machine.memory(advised, 4 << 30, None).level == "good"


@pytest.mark.parametrize(
    ("maps", "libc", "level", "text"),
    [
        ("", "glibc", "good", "glibc"),
        ("7f00 r-xp /usr/lib/libjemalloc.so.2", "glibc", "good", "jemalloc"),
        ("", "", "warning", "not glibc's"),
    ],
)
def test_malloc(maps: str, libc: str, level: str, text: str) -> None:
    found = machine.allocator(maps, libc)
    assert found.level == level
    assert found.text.startswith(text)


@pytest.mark.parametrize(("most", "level"), [(1024, "bad"), (4096, "good"), (-1, "good")])
def test_descriptors(most: int, level: str) -> None:
    assert machine.descriptors(most).level == level


@pytest.mark.parametrize(("ours", "level"), [(1000.0, "good"), (1005.0, "warning"), (900.0, "bad")])
def test_clocks(ours: float, level: str) -> None:
    assert clock(ours, 1000.5, "another's").level == level


def test_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        taken = machine.address("IMGPROXY_BIND", bind)
    assert (taken.level, "is taken" in taken.text) == ("warning", True)
    assert taken.remedy == "Stop what listens there, or choose another port (IMGPROXY_BIND)."
    assert machine.address("IMGPROXY_BIND", bind).text == "is free"
    other = machine.address("IMGPROXY_BIND", "192.0.2.1:8080")
    assert (other.level, "No interface of this machine" in other.remedy) == ("bad", True)


def test_sockets_of_a_running_server_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert machine.address("IMGPROXY_BIND", f"unix:{path}").level == "good"
    assert path.exists()
    assert machine.address("IMGPROXY_BIND", "unix:/nowhere/socket").level == "bad"


def test_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.disk(tmp_path / "not" / "yet").text.endswith("GB free")
    monkeypatch.setattr("imgproxy.doctor.machine._FREE", 1 << 60)
    found = machine.disk(tmp_path)
    assert (found.level, "IMGPROXY_RESULT_STORE_TTL" in found.remedy) == ("warning", True)
