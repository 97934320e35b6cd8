"""Certificates for tests, made at run time by the openssl command: an authority, and a server that it has signed for a name."""

from __future__ import annotations

import functools
import shutil
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NAME = "mx.test"


@dataclass(frozen=True)
class Certificates:
    authority: Path
    certificate: Path  # for NAME and 127.0.0.1
    key: Path
    stranger: Path  # for the same names, signed by itself; its key is in the same file

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


@functools.cache
def certificates() -> Certificates:
    """Made once a test run, gone with its temporary directory."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    directory = Path(tempfile.mkdtemp(prefix="lazaretto-certificates-"))
    directory.chmod(0o755)  # Postfix reads it too
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    _openssl(directory, "req", "-x509", *key, "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem")
    _openssl(directory, "req", *key[:-2], "-subj", f"/CN={NAME}", "-keyout", "key.pem", "-out", "request.pem")
    (directory / "names").write_text(f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1\n")
    sign = ("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _openssl(directory, *sign, "-extfile", "names", "-out", "certificate.pem")
    names = ("-addext", f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1")
    _openssl(directory, "req", "-x509", *key, *names, "-subj", f"/CN={NAME}", "-keyout", "own.key", "-out", "own.pem")
    stranger = directory / "stranger.pem"
    stranger.write_text((directory / "own.key").read_text() + (directory / "own.pem").read_text())
    return Certificates(directory / "ca.pem", directory / "certificate.pem", directory / "key.pem", stranger)
