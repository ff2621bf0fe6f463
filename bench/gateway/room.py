"""`python -m bench.gateway.room`: the room behind every variant; it answers at once, so that only the way counts."""

from typing import Any

import grpc
import uvloop

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import (
    AudioServiceServicer,
    add_AudioServiceServicer_to_server,
)
from agent.ingest.v1.meeting_service_pb2_grpc import (
    MeetingServiceServicer,
    add_MeetingServiceServicer_to_server,
)

MEETING_ID = "01990000-0000-7000-8000-000000000000"
WORDS = 1_500
"""Words of the meeting's text: ten minutes of talk."""
ACKNOWLEDGED_EVERY = 2
"""Messages to an acknowledgement: the ingest room syncs every 200 ms, and a message holds 100."""

_Meetings: Any = MeetingServiceServicer  # their other RPCs answer UNIMPLEMENTED
_Audio: Any = AudioServiceServicer


def a_meeting() -> meetings.Meeting:
    """Return a meeting of ten minutes with four participants."""
    meeting = meetings.Meeting(
        meeting_id=MEETING_ID, title="Bench", mode="realtime", state="live", language="en", duration_ms=600_000,
        segments=120, raw_transcript="word " * WORDS, enhanced_transcript="Word, " * WORDS, report_state="none",
    )  # fmt: skip
    meeting.create_time.FromMilliseconds(1_700_000_000_123)
    meeting.start_time.FromMilliseconds(1_700_000_001_456)
    for number in range(1, 5):
        meeting.participants.add(
            participant_id=f"speaker-{number}", display_name=f"Speaker {number}", basis="own_track", language="en",
            joined_ms=1_000 * number,
        )  # fmt: skip
    return meeting


class Meetings(_Meetings):  # type: ignore[misc]
    """Has one meeting."""

    def __init__(self) -> None:
        self._meeting = a_meeting()

    async def GetMeeting(self, request: Any, context: Any) -> meetings.GetMeetingResponse:
        return meetings.GetMeetingResponse(meeting=self._meeting)

    async def StartMeeting(self, request: Any, context: Any) -> meetings.StartMeetingResponse:
        meeting = meetings.Meeting(meeting_id=MEETING_ID, title=request.title, mode=request.mode, state="live")
        return meetings.StartMeetingResponse(meeting_id=MEETING_ID, meeting=meeting)


class Audio(_Audio):  # type: ignore[misc]
    """Takes sound and forgets it."""

    async def PutChunk(self, request: Any, context: Any) -> audio.PutChunkResponse:
        return audio.PutChunkResponse(sequence=request.sequence, end_ms=len(request.content) // 32)

    async def StreamAudio(self, request_iterator: Any, context: Any) -> None:
        await context.read()
        await context.write(audio.StreamAudioResponse(opened=audio.SessionOpened(next_sequence=1, window=64)))
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.sequence % ACKNOWLEDGED_EVERY == 0:
                durable = audio.AudioDurable(sequence=request.sequence)
                await context.write(audio.StreamAudioResponse(durable=durable))


async def serve() -> None:
    """Serve on a free port, which is the first line on standard output, until killed."""
    server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])  # callers look whether we live
    add_MeetingServiceServicer_to_server(Meetings(), server)
    add_AudioServiceServicer_to_server(Audio(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
