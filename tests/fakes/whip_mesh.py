"""A gateway and a connector, both real, before an ingest that keeps its contract: what publishing over HTTP needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx2
from pydantic import SecretStr

from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import add_AudioServiceServicer_to_server
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceServicer, add_MeetingServiceServicer_to_server
from gateway.app import open_gateway
from gateway.settings import GatewaySettings
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.errors import NotFound
from kit.lifecycle import Shutdown
from kit.rpc.status import abort
from kit.settings import RpcSettings, TargetSettings
from services.connector.app import open_connector
from services.connector.settings import ConnectorSettings, MeetingConnectorSettings
from tests.fakes.ingest_server import Ingest
from tests.postgres import fresh_url

USER_KEY = "user-key-of-the-tests"
SERVICE_KEY = "service-key-of-the-tests"
MEETING = "0199a7c2-77aa-7000-8000-00000000aaaa"
FINISHED = "0199a7c2-77aa-7000-8000-00000000bbbb"
SDP = "application/sdp"


class MeetingNotFound(NotFound):
    """No meeting with this id is visible to the caller."""

    reason = "ERROR_REASON_MEETING_NOT_FOUND"


_Servicer: Any = MeetingServiceServicer  # its other RPCs answer UNIMPLEMENTED


class _Meetings(_Servicer):  # type: ignore[misc]
    async def GetMeeting(self, request: Any, context: Any) -> Any:
        if request.meeting_id not in (MEETING, FINISHED):
            await abort(context, MeetingNotFound(meeting_id=request.meeting_id))
        state = "finished" if request.meeting_id == FINISHED else "live"
        meeting = meetings.Meeting(meeting_id=request.meeting_id, state=state)
        return meetings.GetMeetingResponse(meeting=meeting)


@dataclass
class WhipMesh:
    """What a test talks to: HTTP with a user's key, and what reached ingest."""

    http: httpx2.AsyncClient
    url: str
    ingest: Ingest

    @property
    def endpoint(self) -> str:
        """Where the meeting is published to."""
        return f"/v1/meetings/{MEETING}/whip"

    async def participants(self) -> list[str]:
        """Return who is heard in the meeting's session now."""
        service = {"authorization": f"Bearer {SERVICE_KEY}"}
        found = await self.http.get(f"/v1/admin/connectors/whip/{MEETING}/status", headers=service)
        return [one["display_name"] for one in found.json().get("session", {}).get("participants", [])]


@asynccontextmanager
async def running_whip(*, origin: str = "", empty_room_seconds: float = 2.0) -> AsyncIterator[WhipMesh]:
    """Serve for the block; pages of `origin` may call."""
    ingest, auth = Ingest(), ApiKeys(KeyRing([SecretStr(USER_KEY)], [SecretStr(SERVICE_KEY)]))
    quick = RpcSettings(grpc_grace_seconds=1.0)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_AudioServiceServicer_to_server(ingest, server)
    add_MeetingServiceServicer_to_server(_Meetings(), server)
    ingest_target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        with fresh_url() as database_url:
            opening = open_connector(
                ConnectorSettings(
                    listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", empty_room_seconds=empty_room_seconds
                ),
                MeetingConnectorSettings(),
                TargetSettings(ingest_target=ingest_target),
                database_url=database_url,
                api_key=SERVICE_KEY,
                auth=auth,
                shutdown=Shutdown(),
                rpc=quick,
            )
            async with opening as connector:
                settings = GatewaySettings(
                    listen="127.0.0.1:0", grpc_listen="127.0.0.1:0", allowed_origins=(origin,) if origin else ()
                )
                reached = TargetSettings(ingest_target=ingest_target, connector_target=connector.server.address)
                async with open_gateway(
                    settings, reached, auth, Shutdown(), service_key=SERVICE_KEY, rpc=quick
                ) as gateway:
                    bearer = {"authorization": f"Bearer {USER_KEY}"}
                    async with httpx2.AsyncClient(base_url=gateway.http.url, headers=bearer, timeout=20) as http:
                        yield WhipMesh(http, gateway.http.url, ingest)
    finally:
        await server.stop(None)
