"""The origin, and programs that run for as long as a block."""

from __future__ import annotations

import os
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from deploy.cluster import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_NGINX = """
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  types {{ image/jpeg jpg; image/png png; image/gif gif; image/webp webp; }}
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    root {root};
    # Every number is another URL of the same file: nobody has it in a cache.
    location ~ ^/\\d+/(?<file>[a-z0-9.-]+)$ {{ try_files /$file =404; }}
  }}
}}
"""


@contextmanager
def origin(root: Path, workers: str = "1") -> Iterator[str]:
    """An nginx with the files of a folder, each below any number: ``<url>/17/p3.jpg``. Its URL."""
    port = free_port()
    with TemporaryDirectory(prefix="origin-") as name:
        folder = Path(name)
        user = "user root;\n" if os.geteuid() == 0 else ""
        text = user + _NGINX.format(folder=folder, root=root, port=port, workers=workers)
        (folder / "nginx.conf").write_text(text)
        file = next(each.name for each in root.iterdir())
        command = ["nginx", "-p", f"{folder}/", "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]
        with running(command, lambda: responds(f"http://127.0.0.1:{port}/1/{file}")):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def running(
    command: Sequence[str], is_ready: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A program, ready; its process id."""
    with TemporaryDirectory(prefix="log-") as folder:
        log = Path(folder) / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMGPROXY_")}
        process = Process(list(command), log, is_ready, inherited | dict(environment or {}))
        process.start()
        try:
            process.wait()
            assert process.popen is not None
            yield process.popen.pid
        finally:
            process.stop()


def responds(url: str) -> bool:
    """Whether a URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False
