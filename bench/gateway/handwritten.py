"""`python -m bench.gateway.handwritten`: the same routes written by hand, field by field, in Starlette and grpc.aio.

With BENCH_EDGE=1 they stand behind the gateway's own edge (ids, spans, security headers, metrics, log line) and call
through its channel: then the transcoder is all that differs. Without it there is nothing but the route.
"""

import asyncio
import os
import struct
from contextlib import AsyncExitStack
from typing import Any

import grpc
import orjson
import uvloop
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from gateway import credentials
from gateway.edge import HttpEdge
from gateway.listener import open_http
from kit.audit.origin import Origins
from kit.rpc.client import open_channel
from kit.rpc.edge import REQUEST_ID
from kit.telemetry import logs

TIMEOUT_SECONDS = 30.0
MAX_BODY_BYTES = 12 * 1024 * 1024
_SEALED_WITH = SecretStr("bench-key-of-services")
_FRAME = struct.Struct("<QIq")
_CODES = {grpc.StatusCode.NOT_FOUND: 404, grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.UNAVAILABLE: 503}


class Routes:
    """The routes; `channel` leads to the room."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._meetings = MeetingServiceStub(channel)
        self._audio = AudioServiceStub(channel)

    async def get_meeting(self, request: Request) -> Response:
        message = meetings.GetMeetingRequest(meeting_id=request.path_params["meeting_id"])
        return await _answered(self._meetings.GetMeeting, message, request, lambda answer: _meeting(answer.meeting))

    async def start_meeting(self, request: Request) -> Response:
        try:
            body = orjson.loads(await _body(request))
        except ValueError as error:
            return _problem(400, "Invalid request", str(error))
        message = meetings.StartMeetingRequest(
            title=body.get("title", ""), mode=body.get("mode", ""), language=body.get("language", "")
        )
        return await _answered(self._meetings.StartMeeting, message, request, _started)

    async def put_chunk(self, request: Request) -> Response:
        try:
            message = audio.PutChunkRequest(
                meeting_id=request.path_params["meeting_id"], content=await _body(request),
                sequence=int(request.query_params.get("sequence", 0)),
            )  # fmt: skip
        except ValueError as error:
            return _problem(400, "Invalid request", str(error))
        return await _answered(self._audio.PutChunk, message, request, _stored)

    async def stream(self, websocket: WebSocket) -> None:
        """Carry frames to the room and acknowledgements back."""
        await websocket.accept()
        opening = orjson.loads(await websocket.receive_text())
        call: Any = self._audio.StreamAudio(metadata=_shown(websocket))
        session = audio.SessionOpen(meeting_id=opening["meeting_id"], session_id=opening["session_id"], epoch=1)
        await call.write(audio.StreamAudioRequest(open=session))
        try:
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(_answer(call, websocket), name="bench.answer")
                await _carry(call, websocket)
                answering.cancel()
        finally:
            call.cancel()


async def _carry(call: Any, websocket: WebSocket) -> None:
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (data := message.get("bytes")) is not None:
                sequence, track, start_sample = _FRAME.unpack_from(data)
                frame = audio.AudioFrame(track=track, start_sample=start_sample, pcm=data[_FRAME.size :])
                await call.write(audio.StreamAudioRequest(sequence=sequence, audio=frame))
            else:
                fields = orjson.loads(message["text"])
                track_start = audio.TrackStart(track=fields["track"], participant_id=fields["participant_id"])
                await call.write(audio.StreamAudioRequest(sequence=fields["sequence"], track=track_start))
    except WebSocketDisconnect:
        return


async def _answer(call: Any, websocket: WebSocket) -> None:
    while (response := await call.read()) is not grpc.aio.EOF:
        if response.WhichOneof("message") == "durable":
            answer: dict[str, Any] = {"type": "durable", "sequence": response.durable.sequence}
        else:
            answer = {
                "type": "opened",
                "next_sequence": response.opened.next_sequence,
                "window": response.opened.window,
            }
        await websocket.send_text(orjson.dumps(answer).decode())


async def _answered(rpc: Any, message: Any, request: Request, body_of: Any) -> Response:
    try:
        answer = await rpc(message, metadata=_shown(request), timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        return _problem(_CODES.get(error.code(), 500), error.code().name, error.details() or "")
    return Response(orjson.dumps(body_of(answer)), media_type="application/json")


async def _body(request: Request) -> bytes:
    """Return the body; no honest route takes one of any length.

    Raises:
        ValueError: it is too long.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ValueError("the body is too long")
        parts.append(part)
    return b"".join(parts)


def _problem(status: int, title: str, detail: str) -> Response:
    return Response(orjson.dumps({"title": title, "detail": detail}), status, media_type="application/problem+json")


def _shown(request: Request | WebSocket) -> tuple[tuple[str, str], ...]:
    """Return what goes on to the room: behind the edge also the request's id and its sealed origin."""
    state = request.scope.get("state", {})
    if REQUEST_ID in state:
        return credentials.from_headers(request.headers, request_id=state[REQUEST_ID])
    return (("x-api-key", request.headers.get("x-api-key", "")),)


def _started(answer: meetings.StartMeetingResponse) -> dict[str, Any]:
    return {
        "meeting_id": answer.meeting_id,
        "meeting": _meeting(answer.meeting),
        "connector_auto_join": answer.connector_auto_join,
        "connector_provider": answer.connector_provider,
        "connector_connected": answer.connector_connected,
        "connector_error": answer.connector_error,
    }


def _stored(answer: audio.PutChunkResponse) -> dict[str, Any]:
    return {
        "sequence": answer.sequence,
        "duplicate": answer.duplicate,
        "start_ms": answer.start_ms,
        "end_ms": answer.end_ms,
    }


def _meeting(meeting: meetings.Meeting) -> dict[str, Any]:
    found: dict[str, Any] = {
        "meeting_id": meeting.meeting_id,
        "title": meeting.title,
        "mode": meeting.mode,
        "state": meeting.state,
        "language": meeting.language,
        "provider": meeting.provider,
        "duration_ms": meeting.duration_ms,
        "participants": [_participant(one) for one in meeting.participants],
        "report_state": meeting.report_state,
        "segments": meeting.segments,
        "raw_transcript": meeting.raw_transcript,
        "enhanced_transcript": meeting.enhanced_transcript,
    }
    for name in ("create_time", "start_time", "end_time"):
        if meeting.HasField(name):
            found[name] = getattr(meeting, name).ToJsonString()
    return found


def _participant(one: meetings.Participant) -> dict[str, Any]:
    found = {
        "participant_id": one.participant_id,
        "display_name": one.display_name,
        "basis": one.basis,
        "language": one.language,
        "joined_ms": one.joined_ms,
    }
    if one.HasField("left_ms"):
        found["left_ms"] = one.left_ms
    return found


async def serve() -> None:
    """Serve on a free port, which is the first line on standard output, until killed."""
    logs.configure("bench", "warning")
    target, edge = os.environ["BENCH_ROOM"], os.environ.get("BENCH_EDGE") == "1"
    async with AsyncExitStack() as stack:
        opening = open_channel(target, api_key=None) if edge else grpc.aio.insecure_channel(target)
        routes = Routes(await stack.enter_async_context(opening))
        app: ASGIApp = Starlette(
            routes=[
                Route("/v1/meetings/start", routes.start_meeting, methods=["POST"]),
                Route("/v1/meetings/{meeting_id}", routes.get_meeting),
                Route("/v1/meetings/{meeting_id}/chunks", routes.put_chunk, methods=["POST"]),
                WebSocketRoute("/v1/ws", routes.stream),
            ]
        )
        http = await stack.enter_async_context(
            open_http("127.0.0.1:0", HttpEdge(app, origins=Origins([_SEALED_WITH])) if edge else app, grace_seconds=1)
        )
        print(http.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
