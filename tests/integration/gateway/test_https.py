"""HTTPS of the gateway: with the certificate of its files, and with the next one when they are renewed."""

import asyncio
import ssl
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway import certificate
from gateway.certificate import HttpCertificate
from gateway.listener import open_http
from kit.lifecycle import StartError
from tests.certificates import Authority
from tests.kit_server import eventually

APP = Starlette(routes=[Route("/", lambda request: PlainTextResponse("here"))])


def files(authority: Authority) -> HttpCertificate:
    tls = authority.issue("gateway")
    assert tls.cert_file
    assert tls.key_file
    return HttpCertificate(tls.cert_file, tls.key_file)


async def answer(port: int, authority: Path) -> tuple[bytes, bytes]:
    """Ask once over a connection of its own; return what came and the certificate that was shown."""
    trust = ssl.create_default_context(cafile=authority)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return await reader.read(), writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()


async def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(certificate, "_LOOK_SECONDS", 0.05)
    authority = Authority(tmp_path)
    async with open_http("127.0.0.1:0", APP, grace_seconds=1, certificate=files(authority)) as http:
        assert http.url == f"https://127.0.0.1:{http.port}"
        said, first = await answer(http.port, authority.file)
        assert said.startswith(b"HTTP/1.1 200")
        authority.issue("gateway")

        async def renewed() -> bool:
            return (await answer(http.port, authority.file))[1] != first

        await eventually(renewed, 20)


async def test_files_that_cannot_be_used_stop_the_start_with_a_sentence(tmp_path: Path):
    made = files(Authority(tmp_path))
    made.key_file.write_text("nonsense")
    with pytest.raises(StartError, match=r"GATEWAY_TLS_CERT_FILE: cannot use .*gateway\.pem with the key"):
        async with open_http("127.0.0.1:0", APP, grace_seconds=1, certificate=made):
            pass
    with pytest.raises(StartError, match="No such file"):
        HttpCertificate(tmp_path / "none", made.key_file).context()
