"""Forwarding: a call for a meeting that lives at another replica, made there as it came here.

A stream is pumped message by message, one under way in each direction, so that whoever is slow slows the other side and
nothing gathers here. The owner's status goes back as it is; what the network says in its place becomes
MEETING_ELSEWHERE with a time to come again, by which the meeting has an owner that answers.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.auth.principal import Principal, current_principal
from kit.rpc.calls import held
from kit.rpc.context import RpcContext
from kit.rpc.status import Status, abort_with, plain_status, status_of, to_status, worth_retrying
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.errors import MeetingElsewhere
from services.ingest.intake.session import MeetingKey
from services.ingest.replicas.door import FORWARDED, Owner
from services.ingest.replicas.peers import Peer, Peers

_OPEN_SECONDS = 8.0
_GONE = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN})
"""What a call looks like whose server has stopped."""
_OURS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
"""The caller passed our own gate: these say that the replicas' keys differ, which is no caller's business."""

log = logs.get()


class Forwarder:
    """Makes calls at other replicas."""

    def __init__(self, peers: Peers, draining: asyncio.Event) -> None:
        self._peers = peers
        self._draining = draining

    async def unary(
        self, key: MeetingKey, owner: Owner, method: Callable[[Peer], Any], request: Any, context: RpcContext
    ) -> Any:
        """Answer a call with what the owner answers; a status of the owner's ends the call."""
        try:
            return await self.ask(owner, method, request)
        except grpc.aio.AioRpcError as error:
            return await abort_with(context, _answer(error, key, owner))

    async def ask(
        self, owner: Owner, method: Callable[[Peer], Any], request: Any, *, seconds: float | None = None
    ) -> Any:
        """Return what the owner answers, within `seconds` or the caller's own time.

        Raises:
            AioRpcError: the owner refuses, or does not answer.
        """
        metrics.FORWARDED.inc()
        async with self._peers.to(owner.address) as peer:
            return await method(peer)(request, timeout=seconds, metadata=mark(current_principal()))

    async def audio(self, key: MeetingKey, owner: Owner, first: pb.StreamAudioRequest, context: RpcContext) -> None:
        """Pump a StreamAudio call to its end, whichever side that comes from; the owner's status ends the call."""
        metrics.FORWARDED.inc()
        log.info("stream_forwarded", owner=owner.replica_id)
        async with self._peers.to(owner.address) as peer:
            try:
                with held(peer.audio.StreamAudio(metadata=mark(current_principal()))) as call:
                    await self._pump(call, first, context)
                    return
            except grpc.aio.AioRpcError as error:
                answer = _answer(error, key, owner)
            except (asyncio.InvalidStateError, TimeoutError) as error:
                log.info("forward_lost", owner=owner.replica_id, why=repr(error))
                answer = to_status(MeetingElsewhere(key.meeting_id, owner.address))
        await abort_with(context, answer)

    async def _pump(self, call: Any, first: pb.StreamAudioRequest, context: RpcContext) -> None:
        async with asyncio.timeout(_OPEN_SECONDS):
            await call.write(first)
            # What the client sends at once waits: a write that meets a refusal would hide its reason.
            response = await call.read()
        if response is grpc.aio.EOF:
            return
        writing = asyncio.Lock()
        lost: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(_send(context, call), name="ingest.forward.send")
            goodbye = tasks.create_task(self._say_goodbye(context, writing), name="ingest.forward.drain")
            while response is not grpc.aio.EOF:
                async with writing:
                    await context.write(response)
                try:
                    response = await call.read()
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                    lost, response = error, grpc.aio.EOF
            sending.cancel()
            goodbye.cancel()
        if lost is not None:
            raise lost

    async def _say_goodbye(self, context: RpcContext, writing: asyncio.Lock) -> None:
        await self._draining.wait()
        async with writing:
            await context.write(pb.StreamAudioResponse(drain=pb.AudioDrain(reason="shutting down")))


async def _send(context: RpcContext, call: Any) -> None:
    """Bring the client's messages to the owner, then its half-close."""
    try:
        while (request := await context.read()) is not grpc.aio.EOF:
            await call.write(request)
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # the call is over; whoever reads it learns why


def mark(caller: Principal) -> tuple[tuple[str, str], ...]:
    """Return the metadata that tells a replica that a call was forwarded, and for whom."""
    return ((FORWARDED, caller.subject),)


def _answer(error: grpc.aio.AioRpcError, key: MeetingKey, owner: Owner) -> Status:
    """Return what the caller hears of a failed call."""
    code, told = error.code(), status_of(error)
    if code in _OURS:
        log.error("forward_refused", owner=owner.replica_id, code=code.name)
        return to_status(MeetingElsewhere(key.meeting_id, owner.address))
    if told is not None:
        return told
    if code in _GONE or (worth_retrying(error) and code is not grpc.StatusCode.DEADLINE_EXCEEDED):
        log.info("forward_lost", owner=owner.replica_id, code=code.name, why=error.details())
        return to_status(MeetingElsewhere(key.meeting_id, owner.address))
    return plain_status(code, error.details() or "")
