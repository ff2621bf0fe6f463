"""HTTP itself, whatever is asked: ids, problems, limits on size, time and rate, forms, parts of files."""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.gateway import interview
from tests.integration.gateway.scripted import (
    AUDIO_PIECES,
    SERVICE,
    UNKNOWN_ID,
    USER_KEY,
    Mesh,
    audio_piece,
    running_mesh,
)
from tests.kit_server import eventually

MEETING = f"/v1/meetings/{interview.MEETING_ID}"
AUDIO = b"".join(map(audio_piece, range(AUDIO_PIECES)))
TRACE = "0af7651916cd43dd8448eb211c80319c"


def problem(response: httpx2.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["trace_id"] == response.headers["x-trace-id"]
    return document


async def test_ids_come_back_as_they_were_sent_and_are_made_when_they_were_not():
    async with running_mesh() as mesh:
        for path, status in (("/v1/meetings", 200), ("/nowhere", 404), ("/health", 200), ("/", 200)):
            sent = {"X-Trace-Id": TRACE, "X-Request-ID": "client-7"}
            response = await mesh.http.get(path, headers=sent)
            assert response.status_code == status
            assert (response.headers["x-trace-id"], response.headers["x-request-id"]) == (TRACE, "client-7")
            bare = await mesh.http.get(path)
            assert len(bare.headers["x-trace-id"]) == 32
            assert bare.headers["x-trace-id"] != TRACE
            assert bare.headers["x-request-id"]
        await mesh.http.get("/v1/meetings", headers={"X-Trace-Id": TRACE, "X-Request-Id": "client-8"})
        assert (mesh.seen.metadata["x-trace-id"], mesh.seen.metadata["x-request-id"]) == (TRACE, "client-8")


async def test_whatever_is_refused_is_a_problem():
    async with running_mesh(max_body_bytes=1000) as mesh:
        http = mesh.http
        problem(await http.get("/nowhere"), 404)
        problem(await http.get("/static/nothing.js"), 404)
        for path in ("/", "/health", "/metrics", "/static/scripts/room.js"):
            assert "GET" in problem(await http.post(path), 405)["metadata"]["allowed"]
        assert (await http.delete("/v1/meetings")).headers["allow"] == "GET"
        problem(await http.post(f"{MEETING}/chunks", content=b"x", headers={"content-type": "text/plain"}), 415)
        problem(await http.post(f"{MEETING}/chunks", content=b"x" * 1001), 413)
        problem(await http.get("/v1/meetings", headers={"x-api-key": ""}), 401)


async def test_a_body_that_trickles_is_given_up():
    async with running_mesh(request_timeout_seconds=0.5) as mesh:
        address = urlsplit(mesh.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"POST {MEETING}/chunks HTTP/1.1\r\nhost: x\r\ncontent-type: audio/ogg\r\ncontent-length: 100\r\n\r\nOgg"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()


_CHUNKED = f"POST {MEETING}/chunks HTTP/1.1\r\nhost: x\r\ncontent-type: audio/ogg\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nhost: x\r\nx-long: " + "a" * 300_000,
        "GET / HTTP/1.1\r\nhost: x\r\n" + "x-many: aaaaaaaaaaaaaaaaaaaa\r\n" * 3_000 + "\r\n",
        "GET /" + "a" * 70_000 + " HTTP/1.1\r\nhost: x\r\n\r\n",
        f"{_CHUNKED}3\r\nOgg\r\n0\r\nx-late: " + "a" * 300_000,
    ],
    ids=["an endless header", "many headers", "a long address", "an endless trailer"],
)
async def test_a_head_without_end_is_refused(head: str):
    async with running_mesh() as mesh:
        address = urlsplit(mesh.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        with suppress(ConnectionError):  # refused before all of it was sent
            writer.write(head.encode())
            await writer.drain()
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert (await reader.readline()).startswith((b"HTTP/1.1 400", b""))
                await reader.read()  # to the end: the connection is closed
        writer.close()
        assert mesh.seen.requests == []


async def test_a_trailer_is_no_header():
    async with running_mesh() as mesh:
        address = urlsplit(mesh.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"{_CHUNKED}3\r\nOgg\r\n0\r\nx-api-key: {USER_KEY}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_a_form_carries_the_chunk_and_its_fields():
    async with running_mesh() as mesh:
        fields = {"sequence": "7", "participant_id": "p-mark", "last": "true"}
        file = {"content": ("part.ogg", b"OggS" + b"\xff" * 70_000, "audio/ogg")}
        response = await mesh.http.post(f"{MEETING}/chunks", data=fields, files=file)
        assert response.status_code == 200, response.text
        chunk = mesh.seen.requests[-1]
        assert (chunk.sequence, chunk.participant_id, chunk.last) == (7, "p-mark", True)
        assert chunk.content == file["content"][1]
        assert chunk.meeting_id == interview.MEETING_ID
        internal = f"/v1/internal/meetings/{interview.MEETING_ID}/chunks"
        response = await mesh.http.post(internal, data=fields, files=file, headers=SERVICE)
        assert response.status_code == 200, response.text
        assert mesh.seen.requests[-1].chunk.participant_id == "p-mark"
        raw = {"content-type": "audio/ogg", **SERVICE}
        response = await mesh.http.post(internal, params={"sequence": "9"}, content=b"OggS", headers=raw)
        assert response.status_code == 200, response.text
        assert (mesh.seen.requests[-1].chunk.sequence, mesh.seen.requests[-1].chunk.content) == (9, b"OggS")


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "content_type", "field"),
    [
        (b"", "multipart/form-data", "body"),
        (b"nonsense", FORM, "body"),
        (b"--b\r\ncontent-disposition: form-data; name=last\r\n\r\ntrue\r\n--b--\r\n", FORM, "content"),
        (b"--b\r\ncontent-disposition: form-data; name=content\r\n\r\nx\r\n--b--\r\n", FORM, "content"),
        (b'--b\r\ncontent-disposition: form-data; name=content; filename="a"\r\n\r\nhalf a file', FORM, "body"),
        (
            2 * b'--b\r\ncontent-disposition: form-data; name=content; filename="a"\r\n\r\nx\r\n' + b"--b--\r\n",
            FORM,
            "content",
        ),
        (
            b'--b\r\ncontent-disposition: form-data; name=content; filename="a"\r\n\r\nx\r\n'
            b"--b\r\ncontent-disposition: form-data; name=other\r\n\r\nx\r\n--b--\r\n",
            FORM,
            "other",
        ),
    ],
)
async def test_a_form_that_is_none_is_refused(body: bytes, content_type: str, field: str):
    async with running_mesh() as mesh:
        headers = {"content-type": content_type}
        document = problem(await mesh.http.post(f"{MEETING}/chunks", content=body, headers=headers), 400)
        assert document["metadata"] == {"field": field}


async def test_who_asks_too_often_waits():
    async with running_mesh(rate_limit="3/minute") as mesh:
        for _ in range(3):
            assert (await mesh.http.get("/v1/meetings")).status_code == 200
        refused = await mesh.http.get("/v1/meetings")
        document = problem(refused, 429)
        assert document["metadata"] == {"limit": "3", "windowSeconds": "60"}
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await mesh.http.get("/health")).status_code == 200
        assert (await mesh.http.get("/v1/meetings", headers=SERVICE)).status_code == 200, "somebody else"
        guesses = [await mesh.http.get("/v1/meetings", headers={"x-api-key": f"guess-{n}"}) for n in range(30)]
        assert {one.status_code for one in guesses} == {401, 429}, "one address has an end too"
        with pytest.raises(InvalidStatus):
            async with connect(mesh.ws("/v1/ws")):
                pass


async def part(mesh: Mesh, asked: str, **headers: str) -> httpx2.Response:
    return await mesh.http.get(f"{MEETING}/audio", headers={"range": asked, **headers})


async def test_a_player_seeks_in_a_recording():
    async with running_mesh() as mesh:
        whole = await mesh.http.get(f"{MEETING}/audio")
        assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
        first = await part(mesh, "bytes=0-99")
        assert (first.status_code, first.content) == (206, AUDIO[:100])
        assert first.headers["content-range"] == f"bytes 0-99/{len(AUDIO)}"
        assert first.headers["content-type"] == "audio/ogg; codecs=opus"
        etag = first.headers["etag"]
        middle = await part(mesh, "bytes=1500000-2099999", **{"if-range": etag})
        assert (middle.status_code, middle.content) == (206, AUDIO[1_500_000:2_100_000])
        assert (await part(mesh, "bytes=-5")).content == AUDIO[-5:]
        assert (await part(mesh, "bytes=0-", **{"if-range": '"other"'})).status_code == 200
        assert (await part(mesh, "bytes=0-1,3-4")).content == AUDIO
        beyond = await part(mesh, f"bytes={len(AUDIO)}-")
        problem(beyond, 416)
        assert beyond.headers["content-range"] == f"bytes */{len(AUDIO)}"


async def test_a_part_is_for_those_who_may_hear_it_now():
    async with running_mesh() as mesh:
        assert (await part(mesh, "bytes=0-9")).status_code == 206
        assert (await part(mesh, "bytes=0-9", **{"x-api-key": "guess"})).status_code == 401
        assert (await mesh.http.delete(MEETING)).status_code == 200
        problem(await part(mesh, "bytes=0-9"), 410)
        unknown = await mesh.http.get(f"/v1/meetings/{UNKNOWN_ID}/audio", headers={"range": "bytes=0-9"})
        problem(unknown, 404)


async def test_a_recording_that_breaks_off_is_not_kept_for_parts():
    async with running_mesh() as mesh:
        mesh.meetings.audio_breaks_at = 20
        problem(await part(mesh, "bytes=0-9"), 503)
        mesh.meetings.audio_breaks_at = -1
        assert (await part(mesh, "bytes=0-9")).status_code == 206


async def test_requests_are_counted_by_route_and_never_by_meeting():
    async with running_mesh() as mesh:
        await mesh.http.get(MEETING)

        async def counted() -> bool:
            page = (await mesh.http.get("/metrics")).text
            assert interview.MEETING_ID not in page
            return 'agent_http_requests_total{code="200",method="GET",route="/v1/meetings/{meeting_id}"}' in page

        await eventually(counted)
