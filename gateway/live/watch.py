"""The watch bridge: a meeting's live events as JSON, each with the cursor to go on from."""

from typing import Any

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from gateway.credentials import Metadata
from gateway.live.closing import closed_by
from gateway.live.socket import JsonSocket
from gateway.rest import problem
from gateway.rest.decoder import parse_value
from gateway.rest.encoder import to_json_value
from kit.rpc.calls import held

_ROOM = "ingest"


def watch_request(message: dict[str, Any]) -> pb.WatchMeetingRequest:
    """Return the request that a `watch` message makes.

    Raises:
        InvalidArgument: a field is unknown or wrong.
    """
    request = pb.WatchMeetingRequest()
    parse_value({name: value for name, value in message.items() if name not in ("type", "api_key")}, request)
    return request


async def forward_events(
    stub: MeetingServiceStub, request: pb.WatchMeetingRequest, socket: JsonSocket, metadata: Metadata
) -> None:
    """Send every event as `{"type": "segment", "cursor": 7, "segment": {...}}` until the room ends the stream.

    Raises:
        SocketClosed: the call failed.
    """
    call: Any = stub.WatchMeeting(request, metadata=metadata)
    with held(call):
        try:
            while (response := await call.read()) is not grpc.aio.EOF:
                kind = response.WhichOneof("event")
                if kind is not None:
                    await socket.send({"type": kind, **to_json_value(response)})
        except grpc.aio.AioRpcError as error:
            raise closed_by(problem.of_call(error, _ROOM)) from error
    await socket.send({"type": "watch_ended"})
