"""Keys change under load, without a restart; and what a stop does to who is being served."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgproxy.signing import KeyPair, path_of
from tests import charts
from tests.serving import Server, serving, until
from tests.visitors import Visitors

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

PATH = path_of("local:///photo.png", ["rs:fit:30:30", "f:png"])
SALT = "01"


def url(key: str) -> str:
    return f"/{KeyPair(bytes.fromhex(key), bytes.fromhex(SALT)).sign(PATH)}{PATH}"


def write(folder: Path, name: str, text: str) -> None:
    (folder / "new").write_text(text)
    (folder / "new").replace(folder / name)


def rotate(folder: Path, *keys: str) -> None:
    """Have these keys, of which the last signs; all with the same salt."""
    variables = {"KEY": ",".join(keys), "SALT": ",".join([SALT] * len(keys))}
    write(folder, "env", "".join(f"IMGPROXY_{name}={value}\n" for name, value in variables.items()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(60, 40))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    rotate(folder, "aa00", "aa01")
    with serving(env_local_file_path=str(folder / "env"), local_filesystem_root=str(folder)) as it:
        yield it


class KeyHolders(Visitors):
    """Ask for the picture all the time, with whatever signature is current."""

    def __init__(self, server: Server, key: str) -> None:
        super().__init__([self._ask] * 4, pause=0.02)
        self.key = key
        self.statuses: Counter[int] = Counter()
        self._server = server

    def _ask(self) -> None:
        self.statuses[self._server.ask(url(self.key)).status] += 1


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.soak)])
def test_keys_rotate_under_load(server: Server, folder: Path, count: int) -> None:
    with KeyHolders(server, "aa01") as visitors:
        for number in range(2, 2 + count):
            gone, *kept, new = (f"aa{each:02x}" for each in range(max(0, number - 3), number + 1))
            # The key before the last one may still be on its way: only the one before that goes.
            rotate(folder, *kept, new)
            if number % 2:
                server.process.send_signal(signal.SIGHUP)
            start = time.monotonic()
            until(lambda new=new: server.ask(url(new)).status == 200, seconds=3)
            assert server.ask(url(gone)).status == 403
            assert time.monotonic() - start < 1.0
            visitors.key = new
    assert set(visitors.statuses) == {200}
    assert visitors.statuses[200] > 10 * count
    said = str(server.lines("imgproxy.settings"))
    assert not any(f"aa{number:02x}" in said for number in range(2 + count))


def test_a_bad_file_changes_nothing_and_says_so(server: Server, folder: Path) -> None:
    with KeyHolders(server, "aa01") as visitors:
        for text in ("IMGPROXY_KEY=aa01", "", "IMGPROXY_KEY=aa0\nIMGPROXY_SALT=01\n", "\0\xff"):
            said = len(server.lines("imgproxy.settings"))
            write(folder, "env", text)
            until(lambda said=said: len(server.lines("imgproxy.settings")) > said)
            assert server.lines("imgproxy.settings")[-1]["level"] == "error"
            assert server.ask("/unsafe" + PATH).status == 403
        rotate(folder, "aa01", "bb01")
        until(lambda: server.ask(url("bb01")).status == 200)
    assert set(visitors.statuses) == {200}


def test_presets_change_under_load(folder: Path) -> None:
    write(folder, "presets", "small=w:10/h:10/f:png\n")
    with serving(presets_path=str(folder / "presets"), local_filesystem_root=str(folder)) as server:
        target = "/x/pr:small/plain/local:///photo.png"
        assert server.ask(target).picture.width == 10
        write(folder, "presets", "small=w:20/h:20/f:png\n")
        until(lambda: server.ask(target).picture.width == 20)
        write(folder, "presets", "small=w:twenty\n")
        until(lambda: server.lines("imgproxy.settings")[-1]["level"] == "error")
        assert server.ask(target).picture.width == 20


def test_a_stop_during_a_long_render_ends_in_time(folder: Path) -> None:
    (folder / "large.png").write_bytes(charts.quadrants(3000, 3000))
    given = {"timeout": "30s", "graceful_stop_timeout": "1s", "local_filesystem_root": str(folder)}
    # More than a minute: much longer than the stop may take.
    target = "/x" + path_of("local:///large.png", ["bl:400", "f:avif", "q:90"])
    with serving(**given) as server:
        answers: list[tuple[int, str | None]] = []

        def ask() -> None:
            answer = server.ask(target)
            answers.append((answer.status, answer.headers.get("retry-after")))

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: max(map(_cpu_ticks, server.workers()), default=0) > 30)
        start = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - start < 5
        asking.join()
        assert answers == [(503, "1")]


def _cpu_ticks(pid: int) -> int:
    """Time that a process has computed for since it was started, in hundredths of a second."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_restarts_lose_nobody_who_is_being_served(folder: Path, count: int) -> None:
    """Readiness goes first; who comes until the listener closes is served."""
    for _ in range(count):
        with serving(local_filesystem_root=str(folder), drain_delay="300ms") as server:
            statuses: Counter[int] = Counter()
            ready = True
            target = "/x" + PATH
            assert server.ask(target).status == 200
            server.process.send_signal(signal.SIGTERM)
            start = time.monotonic()
            while time.monotonic() - start < 0.2:
                statuses[server.ask(target).status] += 1
                ready = ready and server.ask("/readyz").status == 200
            assert set(statuses) == {200}
            assert not ready
            assert server.process.wait(10) == 0
