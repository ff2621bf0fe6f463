"""The signalling endpoint: `/v1/rooms/{room}/signal`. It relays and never looks inside a description."""

import asyncio
import time

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.rooms.admission import Admission
from gateway.rooms.member import Member
from gateway.rooms.protocol import (
    Chat,
    Consent,
    Join,
    Leave,
    Mute,
    Ping,
    Signal,
    SignallingError,
    parse_client_message,
    server_message,
)
from gateway.rooms.room import Room, Rooms
from kit.rpc.edge import REQUEST_ID
from kit.telemetry import logs

_JOIN_SECONDS = 15.0
_GOODBYE_SECONDS = 1.0
_LEFT = 1000
_SLOW = 1013
_REPLACED = 4409
# Close codes for refusals before `joined`, 4000 + the HTTP status that REST would give.
_REFUSED = {
    "bad-message": 4400,
    "join-first": 4400,
    "unauthenticated": 4401,
    "forbidden": 4403,
    "meeting-not-found": 4404,
    "meeting-finished": 4409,
    "room-full": 4429,
    "unavailable": 1013,
}

log = logs.get()


class _Gone(Exception):
    """The member closed the socket or vanished."""


class Signalling:
    """Serves members' sockets."""

    def __init__(self, rooms: Rooms, admission: Admission) -> None:
        self._rooms = rooms
        self._admission = admission

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one socket until either side ends it."""
        name = str(websocket.path_params["room"])
        await websocket.accept()
        try:
            join = await self._admitted(websocket, name)
            with self._rooms.entered(name, join) as (room, member), logs.bind(meeting_id=name):
                log.info("room_entered", member_id=member.member_id, role=member.role)
                try:
                    code = await _serve(websocket, room, member)
                finally:
                    log.info("room_left", member_id=member.member_id, role=member.role)
            await _close(websocket, code, "")
        except SignallingError as error:
            await _refuse(websocket, error)
        except _Gone:
            return

    async def _admitted(self, websocket: WebSocket, name: str) -> Join:
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                join = parse_client_message(await _receive(websocket), name)
        except TimeoutError:
            raise SignallingError("join-first") from None
        if not isinstance(join, Join):
            raise SignallingError("join-first")
        request_id = websocket.scope["state"].get(REQUEST_ID, "")
        await self._admission.admit(join, name, websocket.headers, request_id=request_id)
        return join


async def _serve(websocket: WebSocket, room: Room, member: Member) -> int:
    """Relay until the member leaves, falls behind or comes back elsewhere; returns the close code.

    Raises:
        _Gone: the member vanished.
    """
    sending = asyncio.create_task(_send(websocket, member), name="room.send")
    ends = {
        asyncio.create_task(_read(websocket, room, member), name="room.read"): _LEFT,
        asyncio.create_task(member.overflowed.wait(), name="room.overflow"): _SLOW,
        asyncio.create_task(member.replaced.wait(), name="room.replaced"): _REPLACED,
    }
    try:
        done, _ = await asyncio.wait({sending, *ends}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return max(ends.get(task, _LEFT) for task in done)
    finally:
        for task in (sending, *ends):
            task.cancel()
        await asyncio.gather(sending, *ends, return_exceptions=True)


async def _send(websocket: WebSocket, member: Member) -> None:
    while True:
        text = await member.outgoing.get()
        try:
            await websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise _Gone from error


async def _read(websocket: WebSocket, room: Room, member: Member) -> None:
    while True:
        text = await _receive(websocket)
        try:
            if _take(parse_client_message(text, room.name), room, member) is False:
                return
        except SignallingError as error:
            member.tell("error", code=error.code, **error.fields)


def _take(message: object, room: Room, member: Member) -> bool:
    """Act on one message; returns False after the last."""
    match message:
        case Signal(to=to, data=data):
            room.find(to).tell("signal", from_=member.member_id, data=data)
        case Chat(text=text, to=to):
            room.chat(text, by=member, to=room.find(to) if to else None)
        case Mute(muted=muted, target=target):
            room.mute(room.find(target) if target else member, muted=muted, by=member)
        case Consent(recording=recording, target=target):
            room.consent(room.find(target) if target else member, recording=recording, by=member)
        case Ping():
            member.tell("pong", ts=time.time())
        case Leave():
            return False
        case _:
            raise SignallingError("already-joined")
    return True


async def _receive(websocket: WebSocket) -> str:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise _Gone
    text: str | None = message.get("text")
    return text if text is not None else ""  # a binary frame reads as a bad message


async def _refuse(websocket: WebSocket, error: SignallingError) -> None:
    try:
        await websocket.send_text(server_message("error", code=error.code, **error.fields))
    except (WebSocketDisconnect, RuntimeError):
        return
    await _close(websocket, _REFUSED.get(error.code, 4400), error.code)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await websocket.close(code, reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return
