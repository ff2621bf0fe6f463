"""The WebSocket as asyncapi/asyncapi.json tells it, on the real gateway before the real ingest room."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import jsonschema  # type: ignore[import-untyped]
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from agent.common.v1 import report_pb2 as report
from agent.ingest.v1 import meeting_service_pb2 as meetings
from gateway.live.asyncapi import DOCUMENT, current
from gateway.live.closing import CLOSE_CODES, closed_by
from gateway.live.frame import encode_frame
from gateway.rest.problem import of_rpc_problem
from kit.rpc.status import RpcProblem
from tests.integration.gateway import interview
from tests.integration.gateway.interview import MEETING_ID
from tests.integration.gateway.scripted import USER, Mesh, running_mesh
from tests.integration.ingest.running import FRAME, Neighbourhood, running_ingest, start_meeting, talk
from tests.kit_server import eventually
from tests.postgres import fresh_url

SPEC: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
SECONDS = 30.0


class Client:
    """A client that checks every message, both ways, against the document."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        """Send a JSON message."""
        _check(message, "userReceive")
        await self.socket.send(json.dumps(message))

    async def until(self, kind: str) -> dict[str, Any]:
        """Read on to a message of a kind."""
        async with asyncio.timeout(SECONDS):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                _check(message, "userSend")
                self.heard.append(message)
                if message["type"] == kind:
                    return message

    async def ended(self) -> int:
        """Read to the end; returns the close code."""
        with suppress(ConnectionClosedError):
            async with asyncio.timeout(SECONDS):
                async for text in self.socket:
                    message = json.loads(text)
                    _check(message, "userSend")
                    self.heard.append(message)
        assert str(self.socket.close_code) in SPEC["channels"]["user"]["x-close-codes"]
        return int(self.socket.close_code or 0)


def _check(message: dict[str, Any], operation: str) -> None:
    """Check that the document has a message and that this is one of its kind."""
    listed = {reference["$ref"].rpartition("/")[2] for reference in SPEC["operations"][operation]["messages"]}
    assert message["type"] in listed
    schema = {**SPEC["components"]["messages"][message["type"]]["payload"], "components": SPEC["components"]}
    jsonschema.validate(message, schema)


@asynccontextmanager
async def socket(mesh: Mesh) -> AsyncIterator[Client]:
    """Connect for the block."""
    async with connect(mesh.ws("/v1/ws"), additional_headers=USER, open_timeout=SECONDS) as opened:
        yield Client(opened)


@asynccontextmanager
async def real_mesh(root: Path) -> AsyncIterator[tuple[Mesh, Neighbourhood]]:
    """The gateway before a real ingest room."""
    with fresh_url() as url:
        async with (
            running_ingest(url, root) as around,
            running_mesh(elsewhere={"ingest": around.ingest.room.server.address}) as mesh,
        ):
            yield mesh, around


def test_the_document_is_the_codes_own():
    assert DOCUMENT.read_text(encoding="utf-8") == current(), "make docs"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_failure_of_a_room_has_a_documented_ending(code: grpc.StatusCode):
    assert closed_by(of_rpc_problem(RpcProblem(code, "", ""), "ingest")).code in CLOSE_CODES


@pytest.mark.timeout(180)
async def test_a_session_with_all_that_can_happen_to_it(tmp_path: Path):
    pcm = talk(2, 7).astype("<i2").tobytes()
    frames = [pcm[at : at + 2 * FRAME] for at in range(0, len(pcm), 2 * FRAME)]
    last, samples = len(frames) + 2, len(pcm) // 2
    async with real_mesh(tmp_path) as (mesh, around):
        meeting_id = await start_meeting(around.ingest.user)
        opening = {"type": "open", "meeting_id": meeting_id, "session_id": "s-1"}
        end = {"type": "end", "sequence": last, "end_sample": samples}

        async def send(client: Client, sequences: range) -> None:
            for sequence in sequences:
                await client.socket.send(encode_frame(sequence, 1, (sequence - 2) * FRAME, frames[sequence - 2]))

        async with socket(mesh) as first:
            await first.say(**opening, epoch=1)
            assert (await first.until("opened"))["next_sequence"] == 1
            await first.say(type="track", sequence=1, track=1, participant_id="anna", basis="SPEAKER_BASIS_OWN_TRACK")
            await send(first, range(2, 6))
            while (await first.until("durable"))["sequence"] < 5:
                pass
            async with socket(mesh) as second:
                await second.say(**opening, epoch=2)
                assert (await second.until("opened"))["next_sequence"] == 6, "goes on after what is durable"
                assert await first.ended() == 4409, "a newer connection fences the older"
                await second.say(type="watch", meeting_id=meeting_id, interim=True)
                await second.until("meeting")
                await send(second, range(4, last))  # two of them again
                await second.say(**end)
                await second.until("finished")
                await around.ingest.user.meetings.FinishMeeting(meetings.FinishMeetingRequest(meeting_id=meeting_id))
                await second.until("coverage")
                while sum(message["type"] == "segment" for message in second.heard) < 2:
                    await second.until("segment")
        async with socket(mesh) as third:
            await third.say(**opening, epoch=3)
            assert (await third.until("opened"))["next_sequence"] == last + 1
            await third.say(**end)
            assert await third.ended() == 1000, "an end that was sent before is answered again"
            assert third.heard[-1] == {"type": "finished"}
        texts = [message["segment"]["text"] for message in second.heard if message["type"] == "segment"]
        async with socket(mesh) as late:
            await late.say(type="watch", meeting_id=meeting_id, after=1)
            segment = await late.until("segment")
        assert (segment["cursor"], segment["segment"]["text"]) == (2, texts[1]), "a cursor skips what one has"


_QUESTION = report.Claim(text="Why did it fail?", evidence=[report.Evidence(quote="Why did it fail?", start_ms=1_500)])
_LEVELS = [
    meetings.ParticipantLevel(participant_id="anna", level=131),
    meetings.ParticipantLevel(participant_id="boris"),
]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            meetings.WatchMeetingResponse(insight=meetings.LiveInsight(question=_QUESTION)),
            {"question": {"text": "Why did it fail?", "evidence": [{"quote": "Why did it fail?", "start_ms": 1_500}]}},
        ),
        (
            meetings.WatchMeetingResponse(
                warning=meetings.MeetingWarning(kind="no_audio", participant_id="anna", since_ms=500, message="Nothing")
            ),
            {
                "kind": "no_audio",
                "participant_id": "anna",
                "since_ms": 500,
                "message": "Nothing",
                "cleared": False,
            },
        ),
        (
            meetings.WatchMeetingResponse(levels=meetings.Levels(participants=_LEVELS)),
            {"participants": [{"participant_id": "anna", "level": 131}, {"participant_id": "boris", "level": 0}]},
        ),
    ],
    ids=["insight", "warning", "levels"],
)
async def test_what_a_meeting_tells_beside_its_words(event: meetings.WatchMeetingResponse, told: dict[str, Any]):
    kind = str(event.WhichOneof("event"))
    async with running_mesh() as mesh, socket(mesh) as client:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        await client.say(type="watch", meeting_id=MEETING_ID, after=3)
        await client.until("meeting")
        event.cursor = 3
        mesh.meetings.publish(event)
        message = await client.until(kind)
        assert message["cursor"] == 3
        assert _holds(message[kind], told)


def _holds(value: Any, told: Any) -> bool:
    """Whether a JSON value says at least what is told."""
    if isinstance(told, dict):
        return all(name in value and _holds(value[name], inner) for name, inner in told.items())
    if isinstance(told, list):
        return len(value) == len(told) and all(map(_holds, value, told))
    return bool(value == told)


async def test_a_slow_reader_slows_nobody():
    events, long = 60, "word " * 10_000
    async with running_mesh() as mesh:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        async with socket(mesh) as slow, socket(mesh) as quick:
            for client in (slow, quick):
                await client.say(type="watch", meeting_id=MEETING_ID, interim=True)
            await quick.until("meeting")
            await eventually(lambda: mesh.meetings.watchers == 2)
            for number in range(1, events + 1):  # 3 MB, far more than the buffers on the way hold
                text = meetings.InterimText(participant_id="p", stable_text=long)
                mesh.meetings.publish(meetings.WatchMeetingResponse(cursor=number, interim=text))
            while (await quick.until("interim"))["cursor"] < events:
                pass
            while (await slow.until("interim"))["cursor"] < events:
                pass
            assert len(slow.heard) == events + 1, "who reads later has missed nothing that was told"
