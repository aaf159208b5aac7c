from __future__ import annotations

import socket
from pathlib import Path

import pytest

from imgproxy.web.listening import Address, CannotListen, listen, listening


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8080", Address("", 8080)),
        ("localhost:80", Address("localhost", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
        ("unix:///run/x.sock", Address(path="/run/x.sock")),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert Address.parse(text) == expected


@pytest.mark.parametrize("text", ["", "8080", ":", ":x", ":65536", "::1:80", "http://x:80"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="expected :8080"):
        Address.parse(text)


def test_all_interfaces_means_both_families() -> None:
    with listen(Address()) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1") if listener.family == socket.AF_INET6 else ("127.0.0.1",):
            socket.create_connection((host, port), timeout=1).close()


def test_one_host() -> None:
    with listen(Address("localhost")) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_unix_socket_is_for_everybody_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(f"unix:{path}", "BIND"):
        assert path.stat().st_mode & 0o777 == 0o666
    assert not path.exists()


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        listen(Address(path=str(path)))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("bind", "told"),
    [
        ("nowhere", "nowhere: expected :8080"),
        ("192.0.2.1:8080", "192.0.2.1:8080: Cannot assign requested address; no interface of this machine"),
        ("unix:/nonexistent/folder/s", "No such file or directory; make the directory"),
        (f"unix:/{'a' * 200}", "path too long"),
        ("a name.invalid:80", "; write an address, or a name"),
    ],
)
def test_an_address_that_cannot_be_had_is_told_with_its_setting(bind: str, told: str) -> None:
    with pytest.raises(CannotListen) as caught, listening(bind, "IMGPROXY_ADMIN_BIND"):
        pass
    assert str(caught.value).startswith("IMGPROXY_ADMIN_BIND: cannot listen at ")
    assert told in str(caught.value)


def test_a_taken_address_is_told_with_its_setting() -> None:
    with listen(Address("127.0.0.1")) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        told = f"^IMGPROXY_BIND: cannot listen at {bind}: Address already in use; stop what listens there"
        with pytest.raises(CannotListen, match=told), listening(bind, "IMGPROXY_BIND"):
            pass
