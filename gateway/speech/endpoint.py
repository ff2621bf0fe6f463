"""`POST /v1/audio/transcriptions`: a file in, its text out, with OpenAI's interface."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import Response

from agent.stt.v1 import stt_service_pb2 as stt
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from gateway import credentials
from gateway.errors import ClientGone, MediaTypeUnsupported
from gateway.rest import problem
from gateway.rest.exchange import ROUTE, or_gone, read_body
from gateway.rest.multipart import MEDIA_TYPE, read_upload
from gateway.speech.answers import FORMATS, GRANULARITIES, Transcription, answer
from gateway.speech.description import PATH
from gateway.speech.refusals import refusal
from gateway.speech.sound import Sound, open_sound
from kit.auth.gate import Gate
from kit.auth.principal import Principal
from kit.errors import AppError, DeadlineExceeded, InvalidArgument
from kit.rpc.calls import held

_ROOM = "stt"
_MAX_HOT_WORDS = 100
_IGNORED = frozenset({"model", "temperature", "stream", "chunking_strategy", "include[]", "include"})


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """What one transcription may cost."""

    max_bytes: int = 25 * 1024 * 1024
    upload_seconds: float = 120.0
    total_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for beside the file."""

    language: str
    shape: str
    granularities: frozenset[str]
    hot_words: tuple[str, ...]

    @classmethod
    def of(cls, fields: Mapping[str, Sequence[str]]) -> "Wish":
        """Read the fields of the form. Which model there is, is not the caller's to choose: any name is taken.

        Raises:
            InvalidArgument: a field is unknown or wrong.
        """
        given = {name.removesuffix("[]"): values for name, values in fields.items() if name not in _IGNORED}
        known = {"language", "response_format", "timestamp_granularities", "prompt"}
        if unknown := given.keys() - known:
            raise InvalidArgument("there is no such parameter", field=min(unknown))
        shape = _last(given, "response_format") or "json"
        if shape not in FORMATS:
            raise InvalidArgument(f"is one of {', '.join(FORMATS)}", field="response_format")
        granularities = frozenset(given.get("timestamp_granularities", ()))
        if granularities - set(GRANULARITIES):
            raise InvalidArgument(f"is one of {', '.join(GRANULARITIES)}", field="timestamp_granularities[]")
        if granularities and shape != "verbose_json":
            raise InvalidArgument("needs response_format=verbose_json", field="timestamp_granularities[]")
        words = [word.strip() for word in re.split(r"[,;\n]", _last(given, "prompt"))]
        return cls(
            _last(given, "language"),
            shape,
            granularities or frozenset({"segment"}),
            tuple(word for word in words if word)[:_MAX_HOT_WORDS],
        )


class Transcriptions:
    """The endpoint.

    Args:
        speech: channel to the room, with a service's key: recognition is for services, and the gate lets people in
            here.
        gate: decides who may.
        limits: of one request.
    """

    def __init__(self, speech: grpc.aio.Channel, gate: Gate, limits: SpeechLimits) -> None:
        self._stub: Any = SpeechServiceStub(speech)
        self._gate = gate
        self._limits = limits

    async def endpoint(self, request: Request) -> Response:
        """Answer one request; failures have OpenAI's shape too."""
        request.scope[ROUTE] = PATH
        try:
            principal = await self._gate.admit(PATH, dict(credentials.from_headers(request.headers)))
            async with asyncio.timeout(self._limits.total_seconds):
                return await self._answer(request, principal)
        except TimeoutError:
            return refusal(problem.of_error(DeadlineExceeded("the file took too long")))
        except AppError as error:
            return refusal(problem.of_error(error))
        except grpc.aio.AioRpcError as error:
            return refusal(problem.of_call(error, _ROOM))
        except ClientGone:
            return Response(status_code=499)  # nobody is there to see it

    async def _answer(self, request: Request, principal: Principal) -> Response:
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
            raise MediaTypeUnsupported(f"send {MEDIA_TYPE}", got=content_type[:64])
        body = await read_body(request, max_bytes=self._limits.max_bytes, timeout_seconds=self._limits.upload_seconds)
        upload = read_upload(content_type, body, file_field="file")
        wish = Wish.of(upload.fields)
        opening = stt.RecordingOpen(language=wish.language, hot_words=wish.hot_words, tenant_id=principal.tenant_id)
        transcription = await or_gone(request.receive, self._transcribe(upload.file, opening))
        return answer(transcription, wish.shape, wish.granularities)

    async def _transcribe(self, file: bytes, opening: stt.RecordingOpen) -> Transcription:
        finals: list[stt.Final] = []
        async with open_sound(file) as sound:
            call = self._stub.Recognize()
            with held(call):
                sending = asyncio.create_task(_send(call, sound, opening), name="speech.send")
                try:
                    while (response := await _next(call, sending)) is not grpc.aio.EOF:
                        if response.HasField("final"):
                            finals.append(response.final)
                    await sending
                finally:
                    sending.cancel()
                    with suppress(asyncio.CancelledError, AppError):
                        await sending
            return Transcription(finals, sound.seconds)


async def _next(call: Any, sending: "asyncio.Task[None]") -> Any:
    """Return the next response; a file that cannot be read ends the wait with its own error."""
    reading = asyncio.ensure_future(call.read())
    try:
        while not reading.done():
            waiting = {reading} if sending.done() else {reading, sending}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        return reading.result()
    finally:
        reading.cancel()


async def _send(call: Any, sound: Sound, opening: stt.RecordingOpen) -> None:
    """Send the recording; when the room has ended the call, the reader learns why.

    Raises:
        AudioUndecodable: the file cannot be read.
    """
    try:
        await call.write(stt.RecognizeRequest(open=opening))
        async for piece in sound.pieces():
            await call.write(stt.RecognizeRequest(pcm=piece))
        await call.write(stt.RecognizeRequest(end=stt.SpeechEnd()))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return


def _last(fields: Mapping[str, Sequence[str]], name: str) -> str:
    values = fields.get(name)
    return values[-1].strip() if values else ""
