"""A certificate authority for a test, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


@dataclass(frozen=True, slots=True)
class Authority:
    """Certificates that whoever uses ``trust`` believes."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        _openssl(folder, f"req -x509 {_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")
        return cls(folder)

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    def server(self, name: str, days: int = 1) -> ssl.SSLContext:
        """A server with a certificate of ``name`` for so many days; -1 is expired."""
        about = f"-subj /CN=server -addext subjectAltName=DNS:{name}"
        _openssl(self.folder, f"req {_KEY} {about} -keyout server.key -out server.csr")
        signed = f"-CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -copy_extensions copy"
        _openssl(self.folder, f"x509 -req -in server.csr {signed} -out server.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
