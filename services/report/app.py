"""The report room put together: one database, one blob store, one worker of the queue, one server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1 import report_service_pb2_grpc as pb_grpc
from kit.auth.authenticator import Authenticator, make_authenticator
from kit.blobs import BlobStore, open_blobs
from kit.db.engine import Database, open_database
from kit.db.migrate import migrate
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.queue.worker import open_worker
from kit.room import Room, open_room
from kit.rpc.server import RpcService
from kit.settings import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    RpcSettings,
    SettingsError,
    StorageSettings,
    TelemetrySettings,
    load,
)
from services.report.analysis.language import LANGUAGES
from services.report.analysis.lexicon import lexicon
from services.report.analysis.words import form
from services.report.builder import ReportBuilder
from services.report.repository import BUILD, QUEUE, ReportRepository
from services.report.servicer import ReportServicer
from services.report.settings import ReportSettings
from services.report.watch import RoomWatch

ROOM = "report"
_BUILD_GRACE_SECONDS = 5.0
"""A build that takes longer goes back to the queue; the calls before it have had most of the room's grace."""


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop; the database's tables come up to date first."""
    core, auth, rpc, telemetry, settings, database, storage = load(
        CoreSettings, AuthSettings, RpcSettings, TelemetrySettings, ReportSettings, DatabaseSettings, StorageSettings
    )
    if database.database_url is None:
        raise SettingsError(["DATABASE_URL: the report room needs a database; `agent up` starts one"])
    url = database.database_url.get_secret_value()
    authenticator = make_authenticator(auth, core)
    path = Path(storage.storage_path) if storage.storage_path else core.agent_data_dir / "blobs"
    await migrate(url)
    async with (
        open_database(url, room=ROOM) as opened,
        open_blobs(storage.storage_mode, path) as blobs,
        open_report(
            settings, opened, blobs, authenticator, shutdown, rpc=rpc, telemetry=telemetry, fail_fast=core.fail_fast
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
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
    fail_fast: bool = False,
) -> AsyncIterator[Room]:
    """Serve and build reports for the block.

    Args:
        settings: of the room.
        database: with the product's tables.
        blobs: where artifacts are kept.
        auth: says who calls.
        shutdown: the process's wish to stop.
        rpc: settings of the server; the defaults if None.
        telemetry: settings of the traces; none are exported if None.
        fail_fast: whether a failed check at the start ends the room.

    Raises:
        StartError: an address is taken, or a check failed and `fail_fast`.
    """
    await asyncio.to_thread(_read_lexicons)
    repository = ReportRepository(database, settings.zone)
    watch = RoomWatch(repository, blobs)
    service = RpcService(
        descriptor=pb.DESCRIPTOR.services_by_name["ReportService"],
        servicer=ReportServicer(repository, blobs, shutdown.draining, settings.talk_interval_seconds),
        add=pb_grpc.add_ReportServiceServicer_to_server,
    )
    async with (
        open_worker(
            database,
            QUEUE,
            {BUILD: ReportBuilder(repository, blobs).handle},
            concurrency=settings.workers,
            grace_seconds=_BUILD_GRACE_SECONDS,
        ),
        open_room(
            ROOM,
            listen=settings.listen,
            metrics_listen=settings.metrics_listen,
            services=[service],
            auth=auth,
            shutdown=shutdown,
            readiness=watch.readiness,
            sources=OpsSources(queues=watch.queues),
            rpc=rpc,
            telemetry=telemetry,
            fail_fast=fail_fast,
        ) as room,
    ):
        yield room


def _read_lexicons() -> None:
    """The first final of a meeting does not wait for dictionaries."""
    for language in LANGUAGES:
        lexicon(language)
    form("отчёт")
