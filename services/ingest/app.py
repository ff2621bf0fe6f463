"""The ingest room put together: journals, live meetings, channels to the other rooms, one server."""

import asyncio
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
from kit.audit.auditing import Auditing
from kit.audit.settings import AuditSettings
from kit.auth.authenticator import Authenticator, make_authenticator, make_credential
from kit.auth.outgoing import Credential
from kit.blobs import BlobStore, open_storage
from kit.db.engine import Database, open_database
from kit.db.migrate import migrate
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.ops.storage import StorageWatch
from kit.queue.operators import RoomQueues
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.server import MEBIBYTE, RpcService
from kit.settings import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    QueueSettings,
    RpcSettings,
    SettingsError,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
    load,
)
from services.ingest.erasure.erasure import Erasure
from services.ingest.erasure.repository import QUEUE, ErasureRepository
from services.ingest.erasure.retention import Retention
from services.ingest.intake.chunks import ChunkDoor
from services.ingest.jobs import open_jobs
from services.ingest.live.aftermath import Aftermath
from services.ingest.live.meetings import LiveMeetings, open_live_meetings
from services.ingest.live.repository import LiveRepository
from services.ingest.live.surroundings import Surroundings
from services.ingest.meetings import Meetings
from services.ingest.operators import RoomWatch
from services.ingest.quick.owner import Anywhere
from services.ingest.quick.recordings import QuickRecordings
from services.ingest.quick.repository import QuickRepository
from services.ingest.quick.servicer import RecorderServicer
from services.ingest.quick.watch import open_quick_watch
from services.ingest.recorder import Recorder
from services.ingest.recordings.recordings import Recordings
from services.ingest.recordings.repository import RecordingRepository
from services.ingest.replicas.door import Door
from services.ingest.replicas.forward import Forwarder
from services.ingest.replicas.peers import open_peers
from services.ingest.replicas.replica import Replicas, open_replicas
from services.ingest.replicas.repository import ReplicaRepository
from services.ingest.repository import IngestRepository
from services.ingest.servicer import AudioServicer, InternalAudioServicer, MeetingServicer
from services.ingest.settings import IngestSettings, MeetingSettings, QuickRecordingSettings, RetentionSettings
from services.ingest.watching.hub import Hub
from services.ingest.watching.relay import open_relays
from services.ingest.watching.watch import Watcher
from store.answers import Answers
from store.audit.room import open_audit

ROOM = "ingest"
_ENCODERS = 2
"""Threads that make files of recordings; each piece of a file takes its turn."""
_EVERY_INTERFACE = ("0.0.0.0", "[::]", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, slots=True)
class Options:
    """How the room is set up, beyond what it stands on."""

    settings: IngestSettings
    meetings: MeetingSettings
    targets: TargetSettings
    data_directory: Path
    outgoing_key: Credential | None
    """Key with which the room calls the other rooms."""
    journals: Path | None = None
    """Where journals are; `journals` in the data directory if None."""
    journals_shared: bool = False
    """Whether other replicas see them too."""
    inline: bool = False
    """Whether FinishMeeting answers when the report is there."""
    retention: RetentionSettings | None = None
    """How long meetings are kept; for ever if None."""
    quick: QuickRecordingSettings | None = None
    """How many quick recordings there may be, and how long; the defaults if None."""
    tenant_context: str = ""
    """Key under which a meeting's context keeps its tenant; empty: it does not."""
    auditing: Auditing | None = None
    """How decisions about access are kept; the log alone has them if None."""
    rpc: RpcSettings | None = None
    telemetry: TelemetrySettings | None = None
    fail_fast: bool = False


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop; the database's tables come up to date first."""
    core, auth, rpc, telemetry, database, storage, targets, settings, meetings, queue, retention, audit = load(
        CoreSettings,
        AuthSettings,
        RpcSettings,
        TelemetrySettings,
        DatabaseSettings,
        StorageSettings,
        TargetSettings,
        IngestSettings,
        MeetingSettings,
        QueueSettings,
        RetentionSettings,
        AuditSettings,
    )
    (quick,) = load(QuickRecordingSettings)
    if database.database_url is None:
        raise SettingsError(["DATABASE_URL: the ingest room needs a database; `agent up` starts one"])
    url = database.database_url.get_secret_value()
    options = Options(
        settings,
        meetings,
        targets,
        core.agent_data_dir,
        make_credential(auth, ROOM),
        journals=settings.journal_directory(storage, core.agent_data_dir),
        journals_shared=settings.shares_journals(storage),
        inline=queue.inline,
        retention=retention,
        quick=quick,
        tenant_context=auth.tenant_context,
        auditing=Auditing.of(audit, auth),
        rpc=rpc,
        telemetry=telemetry,
        fail_fast=core.fail_fast,
    )
    authenticator = make_authenticator(auth, core)
    await migrate(url)
    async with (
        open_database(url, room=ROOM) as opened,
        open_storage(storage, core) as blobs,
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
    repository = IngestRepository(database)
    journals = (options.journals or options.data_directory / "journals").absolute()
    hub = Hub(settings.watch_queue)
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(settings.journal_threads, "ingest-journal"))
        key = options.outgoing_key
        stt = await stack.enter_async_context(open_channel(options.targets.stt_target, api_key=key))
        report = await stack.enter_async_context(open_channel(options.targets.report_target, api_key=key))
        connector = await stack.enter_async_context(open_channel(options.targets.connector_target, api_key=key))
        replicas = await stack.enter_async_context(
            open_replicas(
                ReplicaRepository(database),
                journals,
                shared=options.journals_shared,
                lease_seconds=settings.lease_seconds,
            )
        )
        surroundings = Surroundings(
            settings=settings,
            repository=repository,
            live_repository=LiveRepository(database),
            replicas=replicas,
            hub=hub,
            recognizer=stt_grpc.SpeechServiceStub(stt),
            follower=report_grpc.ReportServiceStub(report),
            blobs=blobs,
            directory=journals,
            scratch=options.data_directory.absolute() / "sealing",
            executor=executor,
        )
        live = await stack.enter_async_context(open_live_meetings(surroundings))
        peers = await stack.enter_async_context(open_peers(key))
        relays = await stack.enter_async_context(
            open_relays(live, replicas, peers, hub, heartbeat_seconds=settings.heartbeat_seconds)
        )
        door, forwarder = Door(live, replicas, shutdown.draining), Forwarder(peers, shutdown.draining)
        watcher = Watcher(repository, hub, live, relays, shutdown.draining, settings.heartbeat_seconds)
        goodbye = asyncio.create_task(_say_goodbye(shutdown, hub, live, replicas), name="ingest.goodbye")
        stack.callback(goodbye.cancel)
        storage = StorageWatch(blobs)
        watch = RoomWatch(repository, live, surroundings.directory, settings.min_free_mb, storage)
        calls = Recorder(connector_grpc.ConnectorServiceStub(connector))
        meetings = Meetings(
            repository,
            live,
            hub,
            calls,
            blobs,
            options.meetings,
            options.tenant_context,
        )
        erasing = ErasureRepository(database)
        erasure = Erasure(erasing, blobs, live)
        keeping = options.retention or RetentionSettings(audio_days=0, text_days=0, tenants={})
        await stack.enter_async_context(
            open_jobs(database, erasure, Retention(keeping, database, erasing, erasure, blobs))
        )
        encoders = stack.enter_context(ThreadPoolExecutor(_ENCODERS, "ingest-encode"))
        recordings = Recordings(RecordingRepository(database), blobs, encoders)
        anywhere = Anywhere(live, repository, meetings, replicas, peers)
        quick_rows = QuickRepository(database)
        quick = QuickRecordings(
            quick_rows,
            repository,
            meetings,
            recordings,
            calls,
            anywhere.finish,
            options.quick or QuickRecordingSettings(),
            options.targets.gateway_url,
        )
        await stack.enter_async_context(open_quick_watch(quick_rows, quick))
        queues = RoomQueues(database, [QUEUE], Answers())
        audit = await stack.enter_async_context(open_audit(database, options.auditing))
        room = await stack.enter_async_context(
            open_room(
                ROOM,
                listen=settings.listen,
                metrics_listen=settings.metrics_listen,
                services=[
                    *_services(
                        options, repository, live, meetings, watcher, door, forwarder, recordings, erasure, shutdown
                    ),
                    RpcService(
                        recorder.DESCRIPTOR.services_by_name["RecorderService"],
                        RecorderServicer(quick, anywhere.length_ms),
                        recorder_grpc.add_RecorderServiceServicer_to_server,
                    ),
                ],
                auth=auth,
                shutdown=shutdown,
                readiness=watch.readiness,
                sources=OpsSources(
                    sessions=watch.sessions,
                    queues=queues.queues,
                    jobs=queues,
                    storage=storage.health,
                    audit=audit.log,
                    detail=watch.detail,
                ),
                audit=audit.sink,
                origins=audit.origins,
                rpc=options.rpc,
                telemetry=options.telemetry,
                fail_fast=options.fail_fast,
                max_receive_bytes=settings.chunk_max_bytes + MEBIBYTE,
            )
        )
        replicas.announce(settings.advertise or _reachable(room.server.host, room.server.port))
        yield room


def _services(
    options: Options,
    repository: IngestRepository,
    live: LiveMeetings,
    meetings: Meetings,
    watcher: Watcher,
    door: Door,
    forwarder: Forwarder,
    recordings: Recordings,
    erasure: Erasure,
    shutdown: Shutdown,
) -> list[RpcService]:
    settings = options.settings
    chunks = ChunkDoor(live, settings, repository)
    audio_servicer = AudioServicer(
        live, repository, chunks, door, forwarder, shutdown.draining, settings.heartbeat_seconds
    )
    aftermath = Aftermath(repository) if options.inline else None
    return [
        RpcService(
            meeting.DESCRIPTOR.services_by_name["MeetingService"],
            MeetingServicer(meetings, watcher, door, forwarder, recordings, erasure, aftermath),
            meeting_grpc.add_MeetingServiceServicer_to_server,
        ),
        RpcService(
            audio.DESCRIPTOR.services_by_name["AudioService"],
            audio_servicer,
            audio_grpc.add_AudioServiceServicer_to_server,
        ),
        RpcService(
            audio.DESCRIPTOR.services_by_name["InternalAudioService"],
            InternalAudioServicer(chunks, door, forwarder),
            audio_grpc.add_InternalAudioServiceServicer_to_server,
        ),
    ]


def _reachable(host: str, port: int) -> str:
    """Return where other machines find a server that listens on every interface."""
    return f"{socket.gethostname() if host in _EVERY_INTERFACE else host}:{port}"


async def _say_goodbye(shutdown: Shutdown, hub: Hub, live: LiveMeetings, replicas: Replicas) -> None:
    """Let everyone go elsewhere, and other replicas go on with what was ours."""
    await shutdown.draining.wait()
    hub.close()
    await live.hand_over()
    await replicas.release()
