"""A speech room that keeps the contract of StreamingRecognize, hears without a model, and misbehaves when told to.

Speech is every run of samples that are not zero. An utterance ends with 100 ms of zeros; its text is a digest of its
samples, so that the same audio gives the same text however it is cut, paced or replayed, and a lost or doubled sample
shows. Hearing starts afresh at every decided boundary, as in the real room.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from agent.common.v1 import transcript_pb2 as transcript
from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceServicer, add_SpeechServiceServicer_to_server
from kit.errors import InvalidArgument
from kit.rpc.status import abort

END_SILENCE = 1_600
AFTER = 800
SETTLE_SILENCE = 16_000
LANGUAGES = ("", "en", "ru")


class LanguageUnknown(InvalidArgument):
    """The engine does not know the language."""

    reason = "ERROR_REASON_LANGUAGE_UNKNOWN"


def text_of(samples: NDArray[np.int16]) -> str:
    """Return the text of an utterance's samples."""
    return f"said {zlib.crc32(samples.astype('<i2').tobytes()):08x}"


@dataclass
class Ear:
    """Hears one stream; samples since the last boundary are kept."""

    boundary: int
    samples: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))

    @property
    def received(self) -> int:
        """Sample after the last."""
        return self.boundary + len(self.samples)

    def hear(self, samples: NDArray[np.int16]) -> Iterator[pb.StreamingRecognizeResponse]:
        """Yield what is decided by more samples."""
        self.samples = np.concatenate([self.samples, samples])
        while (message := self._next()) is not None:
            yield message

    def end(self) -> Iterator[pb.StreamingRecognizeResponse]:
        """Yield what is left."""
        spoken = np.flatnonzero(self.samples)
        if len(spoken):
            yield self._final(int(spoken[0]), int(spoken[-1]) + 1, len(self.samples))
        self._move(len(self.samples))

    def _next(self) -> pb.StreamingRecognizeResponse | None:
        spoken = np.flatnonzero(self.samples)
        if not len(spoken):
            if len(self.samples) < SETTLE_SILENCE:
                return None
            self._move(SETTLE_SILENCE - AFTER)
            return pb.StreamingRecognizeResponse(cursor=pb.RecognizeCursor(decided_sample=self.boundary))
        ends = [*spoken[np.flatnonzero(np.diff(spoken) > END_SILENCE)], spoken[-1]]
        end = int(ends[0]) + 1
        if len(self.samples) - end < END_SILENCE:
            return None
        return self._final(int(spoken[0]), end, end + AFTER)

    def _final(self, start: int, end: int, boundary: int) -> pb.StreamingRecognizeResponse:
        text = text_of(self.samples[start:end])
        first = self.boundary + start
        final = pb.Final(
            start_sample=first,
            end_sample=self.boundary + end,
            text=text,
            words=[
                transcript.Word(text=word, start_ms=first // 16, end_ms=(self.boundary + end) // 16, confidence=0.5)
                for word in text.split()
            ],
            language="en",
            confidence=0.5,
            engine="scripted",
            model="none",
        )
        self._move(boundary)
        final.decided_sample = self.boundary
        return pb.StreamingRecognizeResponse(final=final)

    def _move(self, count: int) -> None:
        self.samples = self.samples[count:]
        self.boundary += count


_Servicer: Any = SpeechServiceServicer  # its other RPCs answer UNIMPLEMENTED


class Speech(_Servicer):  # type: ignore[misc]
    """The present server's manners, and what it was asked."""

    def __init__(self) -> None:
        self.opens: list[pb.RecognizeOpen] = []
        self.die_after_messages: int | None = None
        """Messages of one stream after which it breaks off, without a word; then None again."""
        self.drain_after_messages: int | None = None
        """The same with a polite word."""
        self.seconds_per_final = 0.0
        self.pins = ""
        """Language that every final is sure of."""
        self.interims = True
        self.final_usd = self.finished_usd = 0.0
        """What each final, and what came after the last one of a stream, was billed."""
        self.open_streams = 0
        self.most_undecided = 0
        """Samples that some stream had at most between received and decided."""

    async def StreamingRecognize(self, request_iterator: Any, context: Any) -> None:
        opening = (await context.read()).open
        self.opens.append(opening)
        if opening.language not in LANGUAGES:
            await abort(context, LanguageUnknown(language=opening.language))
        opened = pb.RecognizeOpened(engine="scripted", model="none", start_sample=opening.start_sample)
        await context.write(pb.StreamingRecognizeResponse(opened=opened))
        self.open_streams += 1
        try:
            await self._recognize(context, Ear(opening.start_sample))
        finally:
            self.open_streams -= 1

    async def _recognize(self, context: Any, ear: Ear) -> None:
        messages = finals = 0
        while (request := await context.read()) is not grpc.aio.EOF:
            messages += 1
            if self.die_after_messages is not None and messages >= self.die_after_messages:
                self.die_after_messages = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the worker died")
            if self.drain_after_messages is not None and messages >= self.drain_after_messages:
                self.drain_after_messages = None
                drain = pb.RecognizeDrain(reason="shutting down")
                await context.write(pb.StreamingRecognizeResponse(drain=drain))
            match request.WhichOneof("message"):
                case "audio":
                    assert request.audio.start_sample == ear.received, "a hole"
                    said = list(ear.hear(np.frombuffer(request.audio.pcm, "<i2")))
                case "silence":
                    assert request.silence.start_sample == ear.received, "a hole"
                    said = list(ear.hear(np.zeros(request.silence.samples, np.int16)))
                case "end":
                    said = list(ear.end())
            self.most_undecided = max(self.most_undecided, ear.received - ear.boundary)
            if self.interims and not said and ear.samples.any():
                interim = pb.Interim(start_sample=ear.boundary, end_sample=ear.received, stable_text="so far")
                await context.write(pb.StreamingRecognizeResponse(interim=interim))
            for message in said:
                if message.HasField("final"):
                    finals += 1
                    message.final.pinned_language = self.pins
                    message.final.cost_usd = self.final_usd
                    await asyncio.sleep(self.seconds_per_final)
                await context.write(message)
            if request.HasField("end"):
                finished = pb.RecognizeFinished(decided_sample=ear.boundary, finals=finals, cost_usd=self.finished_usd)
                await context.write(pb.StreamingRecognizeResponse(finished=finished))
                return


@asynccontextmanager
async def serving_speech(speech: Speech, *, port: int = 0) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 for the block, which then ends as a kill does; yields the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.http2.bdp_probe", 0)])
    add_SpeechServiceServicer_to_server(speech, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
