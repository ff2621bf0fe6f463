"""All rooms for real in this process, before one database, with a few meetings; and where each service is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from agent.ingest.v1 import meeting_service_pb2 as meetings
from gateway.app import open_gateway
from gateway.settings import GatewaySettings
from kit.audit.auditing import Auditing
from kit.audit.settings import AuditSettings
from kit.blobs import open_blobs
from kit.db.engine import open_database
from kit.lifecycle import Shutdown
from kit.rpc.client import open_channel
from kit.settings import RpcSettings, TargetSettings
from mesh.rooms import ROOMS, on_free_ports
from services.connector.app import open_connector
from services.connector.settings import ConnectorSettings, MeetingConnectorSettings
from services.report.app import open_report
from services.report.settings import ReportSettings
from services.stt.app import open_stt
from services.stt.settings import SttSettings
from tests.contract.access.everything import methods
from tests.integration.gateway.scripted import SERVICE_KEY, api_keys
from tests.integration.ingest.running import serving_ingest, stubs
from tests.integration.report.running import hold_meeting
from tests.postgres import fresh_url

_HOMES = {"agent.ingest.v1": "ingest", "agent.stt.v1": "stt", "agent.connector.v1": "connector"} | {
    "agent.report.v1": "report",
    "agent.console.v1": "gateway",
}


@dataclass(frozen=True)
class Rooms:
    """What a fuzzer aims at."""

    addresses: Mapping[str, str]
    known_ids: Sequence[str]
    """Meetings that are there: finished ones with text, live ones, one that takes uploads."""

    def doors(self) -> list[tuple[str, MethodDescriptor]]:
        """Every RPC with every room that has it; operations are in all."""
        return [
            (room, method)
            for method in methods()
            for room in (
                self.addresses
                if method.containing_service.name == "OpsService"
                else (_HOMES[method.containing_service.file.package],)
            )
        ]


@asynccontextmanager
async def every_room(root: Path) -> AsyncIterator[Rooms]:
    """Run them for the block; a room that dies ends it with the room's error."""
    quick = RpcSettings(grpc_grace_seconds=1.0)
    addresses = {room.name: room.address for room in on_free_ports(ROOMS)}
    called: dict[str, Any] = {f"{room}_target": addresses[room] for room in ("ingest", "stt", "connector", "report")}
    targets = TargetSettings(**called)
    usual: dict[str, Any] = {"metrics_listen": "127.0.0.1:0"}
    auditing, auth = Auditing(AuditSettings()), api_keys()
    ports = {room: int(address.rpartition(":")[2]) for room, address in addresses.items()}
    with fresh_url() as url:
        async with (
            open_database(url, room="tests") as database,
            open_blobs("local_fs", root / "blobs") as blobs,
            open_stt(
                SttSettings(provider=("mock",), threads=1, listen=addresses["stt"], **usual),
                auth,
                Shutdown(),
                rpc=quick,
            ),
            open_report(
                ReportSettings(listen=addresses["report"], **usual),
                database,
                blobs,
                auth,
                Shutdown(),
                auditing=auditing,
                rpc=quick,
            ),
            serving_ingest(
                url,
                root / "ingest",
                listen=addresses["ingest"],
                stt_port=ports["stt"],
                report_port=ports["report"],
                connector_port=ports["connector"],
            ),
            open_connector(
                ConnectorSettings(listen=addresses["connector"], **usual),
                MeetingConnectorSettings(),
                targets,
                database_url=url,
                api_key=SERVICE_KEY,
                auth=auth,
                shutdown=Shutdown(),
                rpc=quick,
            ),
            open_gateway(
                GatewaySettings(listen="127.0.0.1:0", grpc_listen=addresses["gateway"]),
                targets,
                auth,
                Shutdown(),
                service_key=SERVICE_KEY,
                rpc=quick,
            ),
            open_channel(addresses["ingest"], api_key=SERVICE_KEY) as channel,
        ):
            client = stubs(channel).meetings
            known = [await hold_meeting(database) for _ in range(3)]
            for mode in ("realtime", "realtime", "upload"):
                asked = meetings.StartMeetingRequest(title="Fuzzed", mode=mode, auto_join_connector=False)
                known.append((await client.StartMeeting(asked)).meeting_id)
            yield Rooms(addresses, known)
