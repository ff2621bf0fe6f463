"""gRPC: stream a WAV file into a new meeting and print its words as they are recognised.

    agent up                                                        # elsewhere; its keys are in keys.json
    python -m examples.clients.stream_wav call.wav --key KEY        # a WAV of 16 kHz, mono, 16 bit

The server says `durable` when audio is on its disk, and only then does it belong to the server. When the connection is
lost, both streams below connect again: the audio goes on at `next_sequence`, the words after `cursor`. Kill the ingest
room while this runs, and the transcript comes out the same.
"""

import argparse
import asyncio
import uuid
import wave
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import grpc

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub

RATE_HERTZ = 16_000
FRAME_SAMPLES = 3_200  # 0.2 s; a frame has at most 32 KiB
RETRIES = 60
# A message that is written while the connection dies makes gRPC's Python library say INTERNAL.
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)


class Lost(Exception):
    """The server closed the stream, or asked to connect again."""


def read_session(path: Path) -> list[audio.StreamAudioRequest]:
    """Return all messages of the session, numbered from 1; the same file gives the same messages after a restart."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE_HERTZ, 1, 2):
            raise SystemExit("this example takes 16 kHz, mono, 16 bit: ffmpeg -i FILE -ar 16000 -ac 1 call.wav")
        pcm, samples = file.readframes(file.getnframes()), file.getnframes()
    speaker = audio.TrackStart(
        track=1, participant_id="anna", display_name="Anna", basis=audio_pb2.SPEAKER_BASIS_OWN_TRACK
    )
    frames = [
        audio.AudioFrame(track=1, start_sample=start, pcm=pcm[2 * start : 2 * (start + FRAME_SAMPLES)])
        for start in range(0, samples, FRAME_SAMPLES)
    ]
    session = [
        audio.StreamAudioRequest(track=speaker),
        *(audio.StreamAudioRequest(audio=frame) for frame in frames),
        audio.StreamAudioRequest(end=audio.SessionEnd(end_sample=samples)),
    ]
    for sequence, message in enumerate(session, 1):
        message.sequence = sequence
    return session


class Client:
    """A user's client of the ingest room."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._meetings = MeetingServiceStub(channel)
        self._audio = AudioServiceStub(channel)
        self._metadata = (("x-api-key", key),)

    async def start(self, title: str) -> str:
        """Make a meeting; returns its id."""
        request = meetings.StartMeetingRequest(title=title, auto_join_connector=False)
        return str((await self._meetings.StartMeeting(request, metadata=self._metadata)).meeting_id)

    async def send(self, meeting_id: str, session: list[audio.StreamAudioRequest], speed: float) -> None:
        """Bring the session to the server's disk, over as many connections as it takes; then finish the meeting."""
        session_id = uuid.uuid4().hex
        for epoch in range(1, RETRIES):
            opening = audio.SessionOpen(meeting_id=meeting_id, session_id=session_id, epoch=epoch)
            try:
                await self._connection(opening, session, speed)
                break
            except Lost as lost:
                print(f"... {lost}", flush=True)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
                print("... connecting again", flush=True)
            await asyncio.sleep(0.5)
        await self._meetings.FinishMeeting(
            meetings.FinishMeetingRequest(meeting_id=meeting_id), metadata=self._metadata, wait_for_ready=True
        )

    async def _connection(
        self, opening: audio.SessionOpen, session: list[audio.StreamAudioRequest], speed: float
    ) -> None:
        call = self._audio.StreamAudio(metadata=self._metadata)
        await call.write(audio.StreamAudioRequest(open=opening))
        answers = _answers(call)
        opened = (await anext(answers)).opened
        durable = opened.next_sequence - 1
        if durable:
            print(f"... going on with message {opened.next_sequence}", flush=True)

        heard = asyncio.Event()

        async def listen() -> None:
            nonlocal durable
            try:
                async for answer in answers:
                    if answer.HasField("durable"):
                        durable = answer.durable.sequence
                        heard.set()
            finally:
                heard.set()
            if durable < len(session):
                raise Lost("the stream closed before everything was durable")

        listening = asyncio.create_task(listen())
        try:
            for message in session[durable:]:
                while message.sequence - durable > opened.window and not listening.done():
                    heard.clear()  # the server wants no more than this in flight
                    await heard.wait()
                if listening.done():
                    break
                with suppress(asyncio.InvalidStateError):  # the call has ended; `listen` hears why
                    await call.write(message)
                await asyncio.sleep(len(message.audio.pcm) / 2 / RATE_HERTZ / speed)
            with suppress(asyncio.InvalidStateError):
                await call.done_writing()
            await listening
        finally:
            listening.cancel()
            call.cancel()

    async def watch(self, meeting_id: str) -> None:
        """Print the words until the meeting is finished."""
        cursor = 0
        for _ in range(RETRIES):
            request = meetings.WatchMeetingRequest(meeting_id=meeting_id, after=cursor)
            try:
                async for event in self._meetings.WatchMeeting(request, metadata=self._metadata):
                    cursor = event.cursor
                    if event.HasField("segment"):
                        print(f"{event.segment.speaker}: {event.segment.text}", flush=True)
                return  # it ends when the meeting is finished and its report is there
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
            await asyncio.sleep(0.5)


async def _answers(
    call: "grpc.aio.StreamStreamCall[audio.StreamAudioRequest, audio.StreamAudioResponse]",
) -> AsyncIterator[audio.StreamAudioResponse]:
    async for answer in call:
        if answer.HasField("drain"):
            raise Lost(f"asked to connect again: {answer.drain.reason}")
        yield answer


def open_channel(target: str, certificates: Path | None) -> grpc.aio.Channel:
    """Open a channel, over TLS with the certificates of a directory: `ca.crt`, `tls.crt` and `tls.key`."""
    if certificates is None:
        return grpc.aio.insecure_channel(target)
    authority, key, own = ((certificates / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(authority, key, own))


async def main(options: argparse.Namespace) -> None:
    """Stream the file and print what is said in it."""
    session = read_session(options.file)
    async with open_channel(options.target, options.certificates) as channel:
        client = Client(channel, options.key)
        meeting_id = await client.start(options.file.name)
        print(f"meeting {meeting_id}", flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.watch(meeting_id), name="watch")
            tasks.create_task(client.send(meeting_id, session, options.speed), name="send")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.clients.stream_wav", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", required=True, help="a user key")
    parser.add_argument("--target", default="127.0.0.1:8021", help="gRPC address of the ingest room")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast to send; 1 is as fast as people speak")
    parser.add_argument("--certificates", type=Path, help="directory of this program, if the mesh talks TLS")
    asyncio.run(main(parser.parse_args()))
