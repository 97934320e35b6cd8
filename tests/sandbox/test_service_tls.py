"""The service over TCP: both sides show a certificate of one authority, the service's is for its name, and nothing else goes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace

import pytest

from sandbox.client import Flattened, SandboxUnavailableError, ServiceSettings
from sandbox.remote import RemoteSandbox
from sandbox.tls import gateway_context, service_context
from tests.fakes.certificates import NAME, certificates
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.service import door, settings_for


def own(**changed) -> dict:
    made = certificates()
    files = {"tls_certificate": made.certificate, "tls_key": made.key, "tls_ca_file": made.authority}
    return {**files, **changed}


@contextlib.asynccontextmanager
async def tls_service(sandbox: FakeSandbox, **service):
    settings = settings_for("tls:127.0.0.1:0", **own(**service))
    async with door(sandbox, settings) as (opened, address):
        assert address.startswith("tls:127.0.0.1:")
        yield opened, address


def asking(address: str, **service) -> RemoteSandbox:
    return RemoteSandbox(settings_for(address, **own(**service)))


async def test_with_certificates_of_one_authority_documents_go_through(tmp_path):
    async with tls_service(FakeSandbox(size=2_000_000)) as (_, address):
        result = await asking(address).flatten(b"document", tmp_path / "out")
        assert isinstance(result, Flattened)
        assert result.size == 2_000_000
        named = asking(address, tls_name=NAME)
        assert isinstance(await named.flatten(b"document", tmp_path / "out"), Flattened)
        assert "Lazaretto 1.2.3" in await named.health()


async def test_a_service_of_another_authority_gets_no_document(tmp_path):
    sandbox = FakeSandbox()
    stranger = certificates().stranger
    async with tls_service(sandbox, tls_certificate=stranger, tls_key=None) as (_, address):
        with pytest.raises(SandboxUnavailableError, match=r"(?i)certificate"):
            await asking(address).flatten(b"document", tmp_path / "out")
    assert sandbox.documents == []


async def test_a_service_of_another_name_gets_no_document(tmp_path):
    sandbox = FakeSandbox()
    async with tls_service(sandbox) as (_, address):
        with pytest.raises(SandboxUnavailableError, match=r"(?i)certificate"):
            await asking(address, tls_name="other.test").flatten(b"document", tmp_path / "out")
    assert sandbox.documents == []


async def test_a_gateway_of_another_authority_is_not_listened_to(tmp_path):
    sandbox = FakeSandbox()
    stranger = certificates().stranger
    async with tls_service(sandbox) as (_, address):
        with pytest.raises(SandboxUnavailableError):
            await asking(address, tls_certificate=stranger, tls_key=None).flatten(b"document", tmp_path / "out")
        with pytest.raises(SandboxUnavailableError):
            await asking(address, tls_certificate=stranger, tls_key=None).health()
    assert sandbox.documents == []


@pytest.mark.parametrize("speaks_tls", [True, False])
async def test_whoever_shows_no_certificate_is_not_listened_to(speaks_tls):
    sandbox = FakeSandbox()
    context = certificates().client() if speaks_tls else None
    async with tls_service(sandbox) as (_, address):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), ssl=context)
        answer = b""
        with contextlib.suppress(OSError):  # ssl.SSLError is one
            writer.write(b"POST /v3/pdf HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\nx")
            answer = await asyncio.wait_for(reader.read(), 15)
        writer.close()
    assert (answer, sandbox.documents) == (b"", [])


async def test_what_is_older_than_tls_1_3_is_refused():
    context = certificates().client()
    context.load_cert_chain(certificates().certificate, certificates().key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with tls_service(FakeSandbox()) as (_, address):
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), ssl=context)


def test_the_systems_authorities_count_for_nothing():
    settings = ServiceSettings(address="tls:sandbox.test:7443", **own())
    for context in (service_context(settings), gateway_context(settings)):
        assert len(context.get_ca_certs()) == 1
        assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("key", ["tls_certificate", "tls_key", "tls_ca_file"])
def test_a_file_that_cannot_be_used_is_named(key, tmp_path):
    (tmp_path / "empty.pem").write_text("")
    settings = replace(ServiceSettings(address="tls:sandbox.test:7443", **own()), **{key: tmp_path / "empty.pem"})
    with pytest.raises(SandboxUnavailableError, match=key):
        gateway_context(settings)
