"""A file's way into a meeting: one session, a track per speaker, gone on with after every loss of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import audio_service_pb2_grpc
from kit.rpc.calls import held
from mesh.audio import decoded_by_speaker
from mesh.upload_note import Upload, UploadNote

RETRIES = 8
Sent = Callable[[float], None]
"""Told how many seconds of the file are safe."""


class ConnectionLost(Exception):
    """The server closed the stream or asked to connect again before everything was durable."""

    def __str__(self) -> str:
        return "the mesh went away and did not come back"


async def send_file(
    channel: grpc.aio.Channel, note: UploadNote, file: Path, *, speakers: int, language: str, sent: Sent
) -> None:
    """Send the file; after a lost connection decode it again and go on from what is durable.

    Raises:
        ConnectionLost: it was lost again and again.
        AioRpcError: the mesh refuses the file.
        UnreadableAudio: it cannot be decoded.
    """
    for attempt in range(1, RETRIES + 1):
        try:
            messages = session_messages(file, speakers, language)
            await _send_from(channel, await asyncio.to_thread(note.connect), messages, speakers, sent)
            return
        except (ConnectionLost, grpc.aio.AioRpcError) as error:
            refused = isinstance(error, grpc.aio.AioRpcError) and error.code() is not grpc.StatusCode.UNAVAILABLE
            if refused or attempt == RETRIES:
                raise
            await asyncio.sleep(min(0.25 * 2**attempt, 5))


async def _send_from(
    channel: grpc.aio.Channel,
    upload: Upload,
    messages: Iterator[audio.StreamAudioRequest],
    speakers: int,
    sent_seconds: Sent,
) -> None:
    with held(audio_service_pb2_grpc.AudioServiceStub(channel).StreamAudio()) as call:
        opening = audio.SessionOpen(meeting_id=upload.meeting_id, session_id=upload.session_id, epoch=upload.epoch)
        await call.write(audio.StreamAudioRequest(open=opening))
        opened = (await _answer(call)).opened
        durable, sent = opened.next_sequence - 1, 0

        async def until(sequence: int) -> int:
            safe = durable
            while safe < sequence:
                safe = max(safe, (await _answer(call)).durable.sequence)
            sent_seconds(max(0, safe - speakers) / speakers)
            return safe

        while (message := await asyncio.to_thread(next, messages, None)) is not None:
            sent = message.sequence
            if sent < opened.next_sequence:
                continue
            durable = await until(sent - opened.window)
            await call.write(message)
        await until(sent)
        await call.done_writing()


async def _answer(
    call: grpc.aio.StreamStreamCall[audio.StreamAudioRequest, audio.StreamAudioResponse],
) -> audio.StreamAudioResponse:
    answer = await call.read()
    if not isinstance(answer, audio.StreamAudioResponse) or answer.HasField("drain"):
        raise ConnectionLost
    return answer


def session_messages(file: Path, speakers: int, language: str) -> Iterator[audio.StreamAudioRequest]:
    """Yield the session's messages, the same ones each time: tracks, a second of each in turn, ends."""
    # A channel of a call is its speaker's own; a mixed recording may hold anybody.
    basis = audio_pb2.SPEAKER_BASIS_OWN_TRACK if speakers > 1 else audio_pb2.SPEAKER_BASIS_GUESS
    tracks = range(1, speakers + 1)
    sequence, position = 0, 0
    for track in tracks:
        sequence += 1
        start = audio.TrackStart(
            track=track,
            participant_id=f"speaker-{track}",
            display_name=f"Speaker {track}",
            basis=basis,
            language=language,
        )
        yield audio.StreamAudioRequest(sequence=sequence, track=start)
    for seconds in decoded_by_speaker(file, speakers):
        for track, pcm in zip(tracks, seconds, strict=True):
            sequence += 1
            frame = audio.AudioFrame(track=track, start_sample=position, pcm=pcm, kind=audio_pb2.AUDIO_KIND_OK)
            yield audio.StreamAudioRequest(sequence=sequence, audio=frame)
        position += len(seconds[0]) // 2
    for track in tracks:
        sequence += 1
        end = audio.TrackEnd(track=track, end_sample=position)
        yield audio.StreamAudioRequest(sequence=sequence, track_end=end)
    yield audio.StreamAudioRequest(sequence=sequence + 1, end=audio.SessionEnd(end_sample=position))
