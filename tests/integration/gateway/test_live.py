"""The WebSocket contours on the real gateway: audio in, acknowledgements and events out, honest endings."""

import json
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.typing import Origin

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import meeting_service_pb2 as meetings
from gateway.live.frame import encode_frame
from tests.integration.gateway import interview
from tests.integration.gateway.interview import MEETING_ID
from tests.integration.gateway.scripted import SERVICE_KEY, UNKNOWN_ID, USER, USER_KEY, running_mesh
from tests.kit_server import eventually

OPEN = {"type": "open", "meeting_id": MEETING_ID, "session_id": "s-1", "epoch": 1}


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    assert message["type"] == kind, message
    return message


async def ending(socket: ClientConnection) -> int:
    with suppress(ConnectionClosedError):  # which is how a close other than 1000 reads
        async for _ in socket:
            pass
    assert socket.close_code is not None
    return socket.close_code


async def test_a_session_of_audio_from_open_to_finished():
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws"), additional_headers=USER) as socket:
        await say(socket, **OPEN)
        opened = await hear(socket, "opened")
        assert (opened["next_sequence"], opened["window"], opened["session_id"]) == (1, 64, "s-1")
        await say(
            socket,
            type="track",
            sequence=1,
            track=1,
            participant_id="p",
            display_name="Anna",
            basis="SPEAKER_BASIS_OWN_TRACK",
        )
        await socket.send(encode_frame(2, 1, 0, b"\1\0" * 1600))
        await say(
            socket, type="gap", sequence=3, track=1, start_sample=1600, end_sample=3200, reason="GAP_REASON_MUTED"
        )
        await say(socket, type="end", sequence=4, end_sample=3200)
        assert [(await hear(socket, "durable"))["sequence"] for _ in range(4)] == [1, 2, 3, 4]
        await hear(socket, "finished")
        assert await ending(socket) == 1000
        _, track, frame, gap, end = mesh.audio.messages
        assert track.track.basis == audio_pb2.SPEAKER_BASIS_OWN_TRACK
        assert (frame.sequence, frame.audio.track, frame.audio.start_sample) == (2, 1, 0)
        assert frame.audio.pcm == b"\1\0" * 1600
        assert (gap.gap.end_sample, end.end.end_sample) == (3200, 3200)
        assert mesh.seen.metadata["x-api-key"] == USER_KEY


async def test_a_browser_sends_its_key_in_the_first_message():
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws")) as socket:
        await say(socket, type="open", meeting_id=MEETING_ID, api_key=USER_KEY)
        assert (await hear(socket, "opened"))["session_id"], "a session without a name gets one"
        await say(socket, type="ping")
        await hear(socket, "pong")


async def test_a_watch_goes_on_from_its_cursor_and_hears_what_happens():
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws")) as socket:
        await say(socket, type="watch", meeting_id=MEETING_ID, after=14, interim=True, api_key=USER_KEY)
        assert (await hear(socket, "meeting"))["meeting"]["title"] == "Backend engineer, second interview"
        event = await hear(socket, "segment")
        assert event["cursor"] == event["segment"]["ordinal"] == 15
        interim = meetings.InterimText(participant_id="p", stable_text="and", unstable_text=" then")
        mesh.meetings.publish(meetings.WatchMeetingResponse(cursor=15, interim=interim))
        assert (await hear(socket, "interim"))["interim"]["unstable_text"] == " then"
        assert mesh.seen.requests[-1].interim
    await eventually(lambda: mesh.meetings.watchers == 0)


async def test_one_socket_may_send_audio_and_watch():
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws"), additional_headers=USER) as socket:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        await say(socket, **OPEN)
        await hear(socket, "opened")
        await say(socket, type="watch", meeting_id=MEETING_ID)
        await hear(socket, "meeting")
        await say(socket, type="watch", meeting_id=MEETING_ID)
        assert (await hear(socket, "error"))["problem"]["metadata"] == {"field": "type"}
        assert await ending(socket) == 4400


async def test_a_client_that_vanishes_did_not_finish():
    async with running_mesh() as mesh:
        async with connect(mesh.ws("/v1/ws"), additional_headers=USER) as socket:
            await say(socket, **OPEN)
            await hear(socket, "opened")
            socket.transport.abort()
        await eventually(mesh.audio.lost.is_set)
        assert [message.WhichOneof("message") for message in mesh.audio.messages] == ["open"]


async def test_the_inner_contour_refuses_people():
    async with running_mesh() as mesh:
        async with connect(mesh.ws("/v1/ws/internal"), additional_headers=USER) as socket:
            await say(socket, **OPEN)
            assert (await hear(socket, "error"))["problem"]["reason"] == "ERROR_REASON_PERMISSION_DENIED"
            assert await ending(socket) == 4403
        async with connect(mesh.ws("/v1/ws/internal")) as socket:
            await say(socket, **OPEN)
            assert await ending(socket) == 4401
        async with connect(mesh.ws("/v1/ws/internal")) as socket:
            await say(socket, **{**OPEN, "api_key": SERVICE_KEY})
            await hear(socket, "opened")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({**OPEN, "meeting_id": UNKNOWN_ID}, 4404),
        ({**OPEN, "epoch": 2}, 4400),
        ({**OPEN, "api_key": "wrong"}, 4401),
        ({**OPEN, "color": "red"}, 4400),
        ({"type": "watch", "meeting_id": UNKNOWN_ID}, 4404),
        ({"type": "gap", "track": 1}, 4400),
        ([1, 2], 1008),
    ],
)
async def test_endings_say_why(message: object, code: int):
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws"), additional_headers=USER) as socket:
        await socket.send(json.dumps(message))
        assert await ending(socket) == code


@pytest.mark.parametrize("frame", [b"short", encode_frame(1, 1, 0, b"\1\0\1"), encode_frame(1, 1, 0, bytes(32770))])
async def test_a_wrong_frame_ends_the_socket(frame: bytes):
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws"), additional_headers=USER) as socket:
        await say(socket, **OPEN)
        await hear(socket, "opened")
        await socket.send(frame)
        assert await ending(socket) == 4400


async def test_pages_from_elsewhere_open_no_sockets():
    async with running_mesh(allowed_origins=("https://friend.example",)) as mesh:
        address = mesh.ws("/v1/ws")
        for origin in (mesh.url, "https://friend.example"):
            async with connect(address, origin=Origin(origin), additional_headers=USER) as socket:
                await say(socket, type="ping")
                await hear(socket, "pong")
        for origin in ("https://evil.example", "null"):
            with pytest.raises(InvalidStatus, match="403"):
                await connect(address, origin=Origin(origin))


async def test_a_stopping_gateway_asks_to_connect_again():
    async with running_mesh() as mesh, connect(mesh.ws("/v1/ws"), additional_headers=USER) as socket:
        await say(socket, **OPEN)
        await hear(socket, "opened")
        mesh.shutdown.requested.set()
        assert await ending(socket) == 1012
