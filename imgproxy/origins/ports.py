"""Which ports of an origin may be contacted: not those where something else than a web server listens.

A request for an image is text of which a stranger chooses a part. What reads lines (SMTP, Redis, memcached) may take
some of them for commands, and what speaks HTTP without asking who is there (Docker, etcd, Elasticsearch) does what a
GET says. The guard of addresses protects our own network; this protects everybody else's from us, and ours where
private addresses are allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.errors import PortForbidden

if TYPE_CHECKING:
    import httpx

USUAL = {"http": 80, "https": 443}

# The "bad ports" of WHATWG's Fetch standard, which no browser connects to (https://fetch.spec.whatwg.org/#bad-port).
_BAD = """
    0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123
    135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993
    995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
# Those of services inside data centres, which browsers have no reason to know. Not 3000, 5000, 8000, 8080, 8443, 8888,
# 9000 or 9090: there are web servers, and MinIO.
_SERVICES = """
    445 873 1433 1521 2181 3306 3389 5432 5672 6432 9042 9092 9100 11211
    6379 6380 16379 26379
    2375 2376 2377 2379 2380 4243
    6443 10250 10255 10256 10257 10259
    8200 8300 8500 8600 9200 9300 5984
    1883 4222 4369 6222 7000 7001 15672
    27017 27018 27019 28017 5900 5901 5985 5986
"""
REFUSED = frozenset(map(int, (_BAD + _SERVICES).split()))


class Ports:
    """The ports that may be asked: ``named`` ones only; if there are none, all but REFUSED."""

    def __init__(self, named: frozenset[int]) -> None:
        self._named = named

    def check(self, url: httpx.URL) -> None:
        """Raise PortForbidden unless the port of an http(s) URL may be asked."""
        port = url.port or USUAL[url.scheme]
        if port not in self._named if self._named else port in REFUSED:
            raise PortForbidden(f"port {port} is not one that sources are fetched from")
