"""The report room put together: one database, one blob store, one worker of the queue, one server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1 import report_service_pb2_grpc as pb_grpc
from kit.audit.auditing import Auditing
from kit.audit.settings import AuditSettings
from kit.auth.authenticator import Authenticator, make_authenticator
from kit.blobs import BlobStore, open_storage
from kit.db.engine import Database, open_database
from kit.db.migrate import migrate
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.ops.storage import StorageWatch
from kit.queue.operators import RoomQueues
from kit.queue.worker import open_worker
from kit.room import Room, open_room
from kit.rpc.server import RpcService
from kit.settings import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    QueueSettings,
    RpcSettings,
    SettingsError,
    StorageSettings,
    TelemetrySettings,
    load,
)
from services.report.analysis.language import LANGUAGES
from services.report.analysis.lexicon import lexicon
from services.report.analysis.words import form
from services.report.deliveries import Deliveries
from services.report.repository import DELIVER, QUEUE, ReportRepository
from services.report.servicer import ReportServicer
from services.report.settings import ReportSettings
from services.report.steps import Steps
from services.report.watch import RoomWatch
from services.report.webhook import open_webhook
from store.answers import Answers
from store.audit.room import open_audit

ROOM = "report"
_STEP_GRACE_SECONDS = 5.0
"""A step that takes longer goes back to the queue; the calls before it have had most of the room's grace."""


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop; the database's tables come up to date first."""
    core, auth, rpc, telemetry, settings, database, storage, queue, audit = load(
        CoreSettings,
        AuthSettings,
        RpcSettings,
        TelemetrySettings,
        ReportSettings,
        DatabaseSettings,
        StorageSettings,
        QueueSettings,
        AuditSettings,
    )
    if database.database_url is None:
        raise SettingsError(["DATABASE_URL: the report room needs a database; `agent up` starts one"])
    url = database.database_url.get_secret_value()
    authenticator = make_authenticator(auth, core)
    await migrate(url)
    async with (
        open_database(url, room=ROOM) as opened,
        open_storage(storage, core) as blobs,
        open_report(
            settings,
            opened,
            blobs,
            authenticator,
            shutdown,
            inline=queue.inline,
            auditing=Auditing.of(audit, auth),
            rpc=rpc,
            telemetry=telemetry,
            fail_fast=core.fail_fast,
        ) as room,
    ):
        await room.stopped()


@asynccontextmanager
async def open_report(
    settings: ReportSettings,
    database: Database,
    blobs: BlobStore,
    auth: Authenticator,
    shutdown: Shutdown,
    *,
    inline: bool = False,
    auditing: Auditing | None = None,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
    fail_fast: bool = False,
) -> AsyncIterator[Room]:
    """Serve, build and send reports for the block.

    Args:
        settings: of the room.
        database: with the product's tables.
        blobs: where artifacts are kept.
        auth: says who calls.
        shutdown: the process's wish to stop.
        inline: whether a step is followed at once by the next, and callers wait for what they have queued.
        auditing: how decisions about access are kept; the log alone has them if None.
        rpc: settings of the server; the defaults if None.
        telemetry: settings of the traces; none are exported if None.
        fail_fast: whether a failed check at the start ends the room.

    Raises:
        StartError: an address is taken, or a check failed and `fail_fast`.
    """
    await asyncio.to_thread(_read_lexicons)
    repository = ReportRepository(database, settings.zone)
    watch, queues = RoomWatch(repository, blobs), RoomQueues(database, [QUEUE], Answers())
    async with AsyncExitStack() as stack:
        channels = []
        if settings.webhook is not None:
            channels.append(await stack.enter_async_context(open_webhook(settings.webhook)))
        steps = Steps(repository, blobs, {channel.name: channel.target for channel in channels})
        worker = await stack.enter_async_context(
            open_worker(
                database,
                QUEUE,
                {**steps.handlers, DELIVER: Deliveries(repository, channels).deliver},
                concurrency=settings.workers,
                grace_seconds=_STEP_GRACE_SECONDS,
                on_dead=repository.write_off,
                inline=inline,
            )
        )
        servicer = ReportServicer(
            repository,
            blobs,
            shutdown.draining,
            settings.talk_interval_seconds,
            worker.run_through if inline else None,
        )
        service = RpcService(
            descriptor=pb.DESCRIPTOR.services_by_name["ReportService"],
            servicer=servicer,
            add=pb_grpc.add_ReportServiceServicer_to_server,
        )
        audit = await stack.enter_async_context(open_audit(database, auditing))
        yield await stack.enter_async_context(
            open_room(
                ROOM,
                listen=settings.listen,
                metrics_listen=settings.metrics_listen,
                services=[service],
                auth=auth,
                shutdown=shutdown,
                readiness=watch.readiness,
                sources=OpsSources(
                    queues=queues.queues,
                    jobs=queues,
                    storage=StorageWatch(blobs).health,
                    audit=audit.log,
                ),
                audit=audit.sink,
                origins=audit.origins,
                rpc=rpc,
                telemetry=telemetry,
                fail_fast=fail_fast,
            )
        )


def _read_lexicons() -> None:
    """The first final of a meeting does not wait for dictionaries."""
    for language in LANGUAGES:
        lexicon(language)
    form("отчёт")
