"""REST on the real gateway: routes, values and errors follow the contract."""

import base64

import httpx2
import pytest

from tests.integration.gateway.interview import MEETING_ID
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

TRACE = "0af7651916cd43dd8448eb211c80319c"


def problem(response: httpx2.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    assert document["status"] == status
    assert document["trace_id"] == response.headers["x-trace-id"]
    return document


async def test_a_meeting_is_its_own_document():
    async with running_mesh() as mesh:
        document = (await mesh.http.get(f"/v1/meetings/{MEETING_ID}")).json()
    assert document["meeting_id"] == MEETING_ID
    assert document["create_time"] == "2026-11-20T09:58:12.000Z"
    assert document["participants"][1] == {
        "participant_id": "p-mark",
        "display_name": "Mark Weber",
        "basis": "own_track",
        "language": "en",
        "joined_ms": 2000,
    }
    assert "report" not in document, "what is unset is left out"


async def test_a_body_and_a_query_become_a_request():
    async with running_mesh() as mesh:
        body = {"title": "Talk", "language": "en", "autoJoinConnector": False, "context": {"role": "backend", "n": 3}}
        started = await mesh.http.post("/v1/meetings/start", json=body)
        assert started.status_code == 200, started.text
        assert started.json()["meeting"]["title"] == "Talk"
        request = mesh.seen.requests[-1]
        assert request.HasField("auto_join_connector")
        assert not request.auto_join_connector
        assert request.context["role"] == "backend"
        await mesh.http.get("/v1/meetings", params={"page_size": 5, "state": "live"})
        assert (mesh.seen.requests[-1].page_size, mesh.seen.requests[-1].state) == (5, "live")


async def test_credentials_and_trace_travel_to_the_room():
    async with running_mesh() as mesh:
        response = await mesh.http.get("/v1/meetings", headers={"X-Trace-Id": TRACE, "X-Request-Id": "r-1"})
        assert (response.headers["x-trace-id"], response.headers["x-request-id"]) == (TRACE, "r-1")
        assert mesh.seen.metadata["x-api-key"] == USER_KEY
        assert mesh.seen.metadata["x-trace-id"] == TRACE
        assert mesh.seen.metadata["x-request-id"] == "r-1"
        made = await mesh.http.get("/v1/meetings", headers={"X-Trace-Id": "nonsense"})
        assert len(made.headers["x-trace-id"]) == 32
        assert made.headers["x-request-id"]


async def test_a_caller_without_a_key_is_refused_by_the_room():
    async with running_mesh() as mesh:
        response = await mesh.http.get("/v1/meetings", headers={"x-api-key": ""})
        assert problem(response, 401)["reason"] == "ERROR_REASON_UNAUTHENTICATED"
        assert response.headers["www-authenticate"] == "Bearer"


async def test_errors_carry_reason_metadata_and_retry():
    async with running_mesh() as mesh:
        missing = problem(await mesh.http.get(f"/v1/meetings/{UNKNOWN_ID}"), 404)
        assert missing["reason"] == "ERROR_REASON_MEETING_NOT_FOUND"
        assert missing["metadata"] == {"meetingId": UNKNOWN_ID}
        assert missing["type"] == "urn:agent:error:meeting-not-found"
        mesh.reports.ready = False
        waiting = await mesh.http.get(f"/v1/meetings/{MEETING_ID}/report")
        assert problem(waiting, 503)["reason"] == "ERROR_REASON_REPORT_NOT_READY"
        assert waiting.headers["retry-after"] == "3"
        empty = problem(await mesh.http.post("/v1/meetings/start", json={}), 400)
        assert empty["metadata"] == {"field": "title"}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/v1/meetings/start", b"{not json", "body"),
        ("POST", "/v1/meetings/start", b"[1]", "body"),
        ("POST", "/v1/meetings/start", b'{"titel": "x"}', "titel"),
        ("POST", "/v1/meetings/start", b'{"title": 7}', "title"),
        ("POST", "/v1/meetings/start?language=en", b"{}", "language"),
        ("POST", f"/v1/meetings/{MEETING_ID}/chunks", b'{"content": "***"}', "content"),
        ("GET", "/v1/meetings?page_size=many", b"", "page_size"),
        ("GET", "/v1/meetings?page_size=99999999999", b"", "page_size"),
        ("GET", "/v1/meetings?limit=5", b"", "limit"),
        ("GET", f"/v1/meetings/{MEETING_ID}?meeting_id=other", b"", "meeting_id"),
    ],
)
async def test_what_the_contract_does_not_know_is_named(method: str, path: str, body: bytes, field: str):
    async with running_mesh() as mesh:
        headers = {"content-type": "application/json"} if body else {}
        document = problem(await mesh.http.request(method, path, content=body, headers=headers), 400)
        assert document["reason"] == "ERROR_REASON_INVALID_FIELD"
        assert document["metadata"] == {"field": field}
        assert not mesh.seen.requests


async def test_unknown_paths_and_methods():
    async with running_mesh(max_body_bytes=1000) as mesh:
        assert problem(await mesh.http.get("/v1/nothing"), 404)["title"] == "Not found"
        wrong = await mesh.http.delete(f"/v1/meetings/{MEETING_ID}/finish")
        problem(wrong, 405)
        assert wrong.headers["allow"] == "POST"
        problem(await mesh.http.post("/v1/meetings/start", content=b"x", headers={"content-type": "text/plain"}), 415)
        large = await mesh.http.post("/v1/meetings/start", json={"title": "x" * 2000})
        assert problem(large, 413)["reason"] == "ERROR_REASON_TOO_LARGE"


async def test_rpcs_without_an_annotation_have_no_route():
    async with running_mesh() as mesh:
        for path in ("/v1/recordings", "/agent.ingest.v1.MeetingService/DeleteMeeting"):
            problem(await mesh.http.post(path, json={}), 404)


async def test_chunks_come_as_base64_or_as_the_body_itself():
    sound = bytes(range(256)) * 8
    async with running_mesh() as mesh:
        encoded = {"content": base64.b64encode(sound).decode(), "sequence": 4}
        first = await mesh.http.post(f"/v1/meetings/{MEETING_ID}/chunks", json=encoded)
        assert first.json() == {"sequence": 4, "duplicate": False, "start_ms": 0, "end_ms": 64}
        raw = await mesh.http.post(
            f"/v1/meetings/{MEETING_ID}/chunks",
            params={"sequence": 5, "encoding": "s16le", "participant_id": "p", "last": "true"},
            content=sound,
            headers={"content-type": "audio/wav"},
        )
        assert raw.json()["sequence"] == 5
        one, two = mesh.seen.requests
        assert one.content == two.content == sound
        assert (two.meeting_id, two.encoding, two.participant_id, two.last) == (MEETING_ID, "s16le", "p", True)
        unknown = await mesh.http.post(
            f"/v1/meetings/{MEETING_ID}/chunks?speed=2", content=sound, headers={"content-type": "audio/ogg"}
        )
        assert problem(unknown, 400)["metadata"] == {"field": "speed"}


async def test_the_inner_contour_is_for_services():
    async with running_mesh() as mesh:
        path, body = f"/v1/internal/meetings/{MEETING_ID}/chunks", {"content": "AAAA", "sequence": 9}
        assert problem(await mesh.http.post(path, json=body), 403)["reason"] == "ERROR_REASON_PERMISSION_DENIED"
        taken = await mesh.http.post(path, json=body, headers=SERVICE)
        assert taken.json()["chunk"]["sequence"] == 9
        assert mesh.seen.requests[-1].meeting_id == MEETING_ID


async def test_a_body_with_its_own_media_type_is_sent_as_it_is():
    async with running_mesh() as mesh:
        text = await mesh.http.get(f"/v1/meetings/{MEETING_ID}/report/text")
        assert (text.headers["content-type"], text.text) == ("text/plain; charset=utf-8", "Отчёт\n")
        file = await mesh.http.get(f"/v1/meetings/{MEETING_ID}/artifact", params={"kind": "report", "fmt": "md"})
        assert (file.headers["content-type"], file.content) == ("text/markdown", b"# Report\n")


async def test_the_deadline_is_the_callers_within_ours():
    async with running_mesh(request_timeout_seconds=9) as mesh:
        await mesh.http.get("/v1/meetings")
        assert 0 < (mesh.seen.remaining_seconds or 0) < 10
        await mesh.http.get("/v1/meetings", headers={"Grpc-Timeout": "2S"})
        assert 0 < (mesh.seen.remaining_seconds or 0) < 3
        mesh.meetings.stall = True
        late = await mesh.http.get(f"/v1/meetings/{MEETING_ID}", headers={"Grpc-Timeout": "200m"})
        assert problem(late, 504)["detail"] == "ingest did not answer in time"
        problem(await mesh.http.get("/v1/meetings", headers={"Grpc-Timeout": "soon"}), 400)


async def test_a_client_that_hangs_up_cancels_its_call():
    async with running_mesh() as mesh:
        mesh.meetings.stall = True
        with pytest.raises(httpx2.ReadTimeout):
            await mesh.http.get(f"/v1/meetings/{MEETING_ID}", timeout=0.3)
        await eventually(mesh.seen.cancelled.is_set)


async def test_a_room_that_is_away_is_named_without_its_address():
    async with running_mesh() as mesh:
        await mesh.stop_room("report")
        await eventually(lambda: mesh.stops["report"].draining.is_set())

        async def away() -> bool:
            return (await mesh.http.get(f"/v1/meetings/{MEETING_ID}/report")).status_code == 503

        await eventually(away)
        response = await mesh.http.get(f"/v1/meetings/{MEETING_ID}/report")
        document = problem(response, 503)
        assert document["metadata"] == {"dependency": "report"}
        assert "127.0.0.1" not in response.text
        assert response.headers["retry-after"] == "1"
        assert (await mesh.http.get("/v1/meetings")).status_code == 200, "the other rooms answer"


async def lines(mesh: Mesh, accept: str) -> list[str]:
    found: list[str] = []
    url = f"/v1/meetings/{MEETING_ID}/watch"
    async with mesh.http.stream("GET", url, params={"after": 13}, headers={"accept": accept}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == accept
        async for line in response.aiter_lines():
            if line:
                found.append(line)
            if len(found) == 3:
                break
    return found


@pytest.mark.parametrize(("accept", "prefix"), [("application/x-ndjson", ""), ("text/event-stream", "data: ")])
async def test_a_stream_goes_on_from_its_cursor_and_ends_with_its_client(accept: str, prefix: str):
    async with running_mesh() as mesh:
        meeting, first, second = (line.removeprefix(prefix) for line in await lines(mesh, accept))
        assert meeting.startswith('{"cursor":13,"meeting":')
        assert first.startswith('{"cursor":14,"segment":')
        assert second.startswith('{"cursor":15,"segment":')
        await eventually(lambda: mesh.meetings.watchers == 0)


async def test_a_stream_that_is_refused_has_an_http_status():
    async with running_mesh() as mesh:
        problem(await mesh.http.get(f"/v1/meetings/{UNKNOWN_ID}/watch"), 404)


@pytest.mark.parametrize(
    ("fmt", "content_type", "ending"), [("opus", "audio/ogg; codecs=opus", "opus"), ("flac", "audio/flac", "flac")]
)
async def test_a_recording_is_a_file(fmt: str, content_type: str, ending: str):
    async with running_mesh() as mesh:
        params = {"format": fmt, "participant_id": "p-mark"}
        response = await mesh.http.get(f"/v1/meetings/{MEETING_ID}/audio", params=params)
        assert response.status_code == 200
        assert response.headers["content-type"] == content_type
        assert response.headers["content-disposition"] == f'attachment; filename="{MEETING_ID}.{ending}"'
        assert response.content == b"".join(map(audio_piece, range(AUDIO_PIECES)))
        assert mesh.seen.requests[-1].participant_id == "p-mark"
        problem(await mesh.http.get(f"/v1/meetings/{UNKNOWN_ID}/audio"), 404)


async def test_a_recording_that_breaks_off_is_no_whole_file():
    async with running_mesh() as mesh:
        mesh.meetings.audio_breaks_at = 20
        with pytest.raises(httpx2.RemoteProtocolError):
            await mesh.http.get(f"/v1/meetings/{MEETING_ID}/audio")
        mesh.meetings.audio_breaks_at = 0
        problem(await mesh.http.get(f"/v1/meetings/{MEETING_ID}/audio"), 503)


async def test_whoever_hangs_up_on_a_recording_ends_the_call():
    async with running_mesh() as mesh:
        mesh.meetings.audio_may_go_on.set()
        async with mesh.http.stream("GET", f"/v1/meetings/{MEETING_ID}/audio") as response:
            mesh.meetings.audio_may_go_on.clear()
            assert await anext(response.aiter_raw(10_000))
        await mesh.seen.cancelled.wait()


async def test_an_erased_meeting_is_gone_and_says_so():
    async with running_mesh() as mesh:
        url = f"/v1/meetings/{MEETING_ID}"
        erased = await mesh.http.delete(url, params={"reason": "asked for"})
        assert erased.status_code == 200
        assert erased.json()["tombstone"]["reason"] == "asked for"
        assert problem(await mesh.http.get(url), 410)["reason"] == "ERROR_REASON_MEETING_ERASED"


async def test_health_joins_the_rooms_and_metrics_count():
    async with running_mesh() as mesh:
        well = await mesh.http.get("/health", headers={"x-api-key": ""})
        assert well.status_code == 200
        assert well.json() == {
            "status": "ok",
            "rooms": dict.fromkeys(("ingest", "stt", "connector", "report"), "serving"),
        }
        await mesh.stop_room("stt")

        async def degraded() -> bool:
            return (await mesh.http.get("/health")).status_code == 503

        await eventually(degraded, 10)
        assert (await mesh.http.get("/health")).json()["status"] == "degraded"
        page = (await mesh.http.get("/metrics")).text
        assert 'agent_http_requests_total{code="200",method="GET",route="/health"}' in page


async def test_responses_carry_security_headers():
    async with running_mesh() as mesh:
        for path in ("/", "/v1/meetings", "/nowhere", f"/rooms/{MEETING_ID}", "/static/scripts/room.js"):
            headers = (await mesh.http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_gateway_stops_in_order():
    async with running_mesh() as mesh:
        url = f"/v1/meetings/{MEETING_ID}/watch"
        async with mesh.http.stream("GET", url) as response:
            assert response.status_code == 200
            mesh.shutdown.requested.set()
            await mesh.gateway.room.stopped()
            async for _ in response.aiter_lines():
                pass  # ends by itself: the stream was let go, not cut

        async def closed() -> bool:
            try:
                await mesh.http.get("/health")
            except httpx2.TransportError:
                return True
            return False

        await eventually(closed)
