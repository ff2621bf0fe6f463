"""The ingest room put together: journals, live meetings, channels to the other rooms, one server."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.connector.v1 import connector_service_pb2_grpc as connector_grpc
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import audio_service_pb2_grpc as audio_grpc
from agent.ingest.v1 import meeting_service_pb2 as meeting
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from agent.ingest.v1 import recorder_service_pb2 as recorder
from agent.ingest.v1 import recorder_service_pb2_grpc as recorder_grpc
from agent.report.v1 import report_service_pb2_grpc as report_grpc
from agent.stt.v1 import stt_service_pb2_grpc as stt_grpc
from kit.auth.authenticator import Authenticator, make_authenticator
from kit.blobs import BlobStore, open_blobs
from kit.db.engine import Database, open_database
from kit.db.migrate import migrate
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.server import MEBIBYTE, RpcService
from kit.settings import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    RpcSettings,
    SettingsError,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
    load,
)
from services.ingest.chunks import ChunkDoor
from services.ingest.hub import Hub
from services.ingest.live import Surroundings
from services.ingest.live_meetings import LiveMeetings, open_live_meetings
from services.ingest.meetings import Meetings
from services.ingest.operators import RoomWatch
from services.ingest.recorder import Recorder
from services.ingest.repository import IngestRepository
from services.ingest.servicer import AudioServicer, InternalAudioServicer, MeetingServicer, RecorderServicer
from services.ingest.settings import IngestSettings, MeetingSettings
from services.ingest.watch import Watcher

ROOM = "ingest"


@dataclass(frozen=True, slots=True)
class Options:
    """How the room is set up, beyond what it stands on."""

    settings: IngestSettings
    meetings: MeetingSettings
    targets: TargetSettings
    data_directory: Path
    outgoing_key: str | None
    """Key with which the room calls the other rooms."""
    rpc: RpcSettings | None = None
    telemetry: TelemetrySettings | None = None
    fail_fast: bool = False


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop; the database's tables come up to date first."""
    core, auth, rpc, telemetry, database, storage, targets, settings, meetings = load(
        CoreSettings,
        AuthSettings,
        RpcSettings,
        TelemetrySettings,
        DatabaseSettings,
        StorageSettings,
        TargetSettings,
        IngestSettings,
        MeetingSettings,
    )
    if database.database_url is None:
        raise SettingsError(["DATABASE_URL: the ingest room needs a database; `agent up` starts one"])
    url = database.database_url.get_secret_value()
    options = Options(
        settings, meetings, targets, core.agent_data_dir, auth.outgoing_key, rpc, telemetry, core.fail_fast
    )
    path = Path(storage.storage_path) if storage.storage_path else core.agent_data_dir / "blobs"
    authenticator = make_authenticator(auth, core)
    await migrate(url)
    async with (
        open_database(url, room=ROOM) as opened,
        open_blobs(storage.storage_mode, path) as blobs,
        open_ingest(options, opened, blobs, authenticator, shutdown) as room,
    ):
        await room.stopped()


@asynccontextmanager
async def open_ingest(
    options: Options, database: Database, blobs: BlobStore, auth: Authenticator, shutdown: Shutdown
) -> AsyncIterator[Room]:
    """Serve for the block, after the journals that were left behind are taken up.

    Args:
        options: of the room.
        database: with the product's tables; it may be away.
        blobs: where sealed tracks go and clean transcripts are.
        auth: says who calls.
        shutdown: the process's wish to stop.

    Raises:
        StartError: an address is taken, or the data directory is another process's.
    """
    settings = options.settings
    repository = IngestRepository(database, f"{socket.gethostname()}:{os.getpid()}")
    hub = Hub(settings.watch_queue)
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(settings.journal_threads, "ingest-journal"))
        key = options.outgoing_key
        stt = await stack.enter_async_context(open_channel(options.targets.stt_target, api_key=key))
        report = await stack.enter_async_context(open_channel(options.targets.report_target, api_key=key))
        connector = await stack.enter_async_context(open_channel(options.targets.connector_target, api_key=key))
        surroundings = Surroundings(
            settings=settings,
            repository=repository,
            hub=hub,
            recognizer=stt_grpc.SpeechServiceStub(stt),
            follower=report_grpc.ReportServiceStub(report),
            blobs=blobs,
            directory=options.data_directory.absolute() / "journals",
            scratch=options.data_directory.absolute() / "sealing",
            executor=executor,
        )
        live = await stack.enter_async_context(open_live_meetings(surroundings))
        goodbye = asyncio.create_task(_say_goodbye(shutdown, hub), name="ingest.goodbye")
        stack.callback(goodbye.cancel)
        watch = RoomWatch(repository, live, surroundings.directory, settings.min_free_mb)
        meetings = Meetings(
            repository, live, hub, Recorder(connector_grpc.ConnectorServiceStub(connector)), blobs, options.meetings
        )
        room = await stack.enter_async_context(
            open_room(
                ROOM,
                listen=settings.listen,
                metrics_listen=settings.metrics_listen,
                services=_services(options, repository, live, meetings, hub, shutdown),
                auth=auth,
                shutdown=shutdown,
                readiness=watch.readiness,
                sources=OpsSources(sessions=watch.sessions, detail=watch.detail),
                rpc=options.rpc,
                telemetry=options.telemetry,
                fail_fast=options.fail_fast,
                max_receive_bytes=settings.chunk_max_bytes + MEBIBYTE,
            )
        )
        yield room


def _services(
    options: Options,
    repository: IngestRepository,
    live: LiveMeetings,
    meetings: Meetings,
    hub: Hub,
    shutdown: Shutdown,
) -> list[RpcService]:
    settings = options.settings
    chunks = ChunkDoor(live, settings)
    watcher = Watcher(repository, hub, live, shutdown.draining, settings.heartbeat_seconds)
    audio_servicer = AudioServicer(live, repository, chunks, shutdown.draining, settings.heartbeat_seconds)
    return [
        RpcService(
            meeting.DESCRIPTOR.services_by_name["MeetingService"],
            MeetingServicer(meetings, watcher),  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
            meeting_grpc.add_MeetingServiceServicer_to_server,
        ),
        RpcService(
            audio.DESCRIPTOR.services_by_name["AudioService"],
            audio_servicer,
            audio_grpc.add_AudioServiceServicer_to_server,
        ),
        RpcService(
            audio.DESCRIPTOR.services_by_name["InternalAudioService"],
            InternalAudioServicer(chunks),
            audio_grpc.add_InternalAudioServiceServicer_to_server,
        ),
        RpcService(
            recorder.DESCRIPTOR.services_by_name["RecorderService"],
            RecorderServicer(),  # type: ignore[abstract]  # as above
            recorder_grpc.add_RecorderServiceServicer_to_server,
        ),
    ]


async def _say_goodbye(shutdown: Shutdown, hub: Hub) -> None:
    await shutdown.draining.wait()
    hub.close()
