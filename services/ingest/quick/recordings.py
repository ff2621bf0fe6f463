"""Quick recordings: begun from a link, looked after until their sound can be fetched.

    recording ──asked to stop, long enough, the call ended──▶ assembling ──sealed──▶ done
        └── the recorder cannot go in, nobody was heard ──▶ failed

Everything about one is in its row, so any replica goes on with it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from google.protobuf import json_format

from agent.ingest.v1 import meeting_service_pb2 as meeting_pb
from agent.ingest.v1 import recorder_service_pb2 as pb
from kit.auth.principal import Principal
from kit.clock import now
from kit.errors import AppError, FailedPrecondition, InvalidArgument, Unavailable
from kit.telemetry import logs
from services.ingest.errors import AudioNotFound, MeetingNotFound, TooManyRecordings
from services.ingest.intake.session import MeetingKey
from services.ingest.quick.link import BROWSER, ROOM, check_link, host_of, room_in, room_link, shown_link
from services.ingest.quick.repository import QuickRepository, QuickRow
from services.ingest.recorder import Presence, Recorder
from services.ingest.rows import QUICK_RECORDING, MeetingRow
from services.ingest.settings import QuickRecordingSettings

AUDIO_FORMAT = "mp3"
LEASE = timedelta(seconds=45)
"""Time in which nobody else looks at a recording that somebody looks at: longer than joining and leaving take."""
LOOK = timedelta(seconds=2)
SEND_AGAIN = timedelta(seconds=30)
"""How long after its beginning a recorder that never arrived is sent in again: a replica may have died between."""
_MOST_REQUEST_ID_CHARACTERS = 100

log = logs.get()


class Meetings(Protocol):
    """Meetings as everybody uses them."""

    async def start(
        self, caller: Principal, request: meeting_pb.StartMeetingRequest
    ) -> meeting_pb.StartMeetingResponse: ...


class MeetingRows(Protocol):
    """Meetings in the store."""

    async def meeting(self, key: MeetingKey) -> MeetingRow: ...


class Sealed(Protocol):
    """The recordings of finished meetings."""

    async def find(self, key: MeetingKey, participant_id: str, format_name: str) -> object: ...


Finish = Callable[[MeetingKey], Awaitable[object]]
"""Ends a meeting wherever it is live."""


class QuickRecordings:
    """Begins, shows and ends quick recordings; `look_after` is one step of one of them."""

    def __init__(
        self,
        repository: QuickRepository,
        rows: MeetingRows,
        meetings: Meetings,
        sealed: Sealed,
        recorder: Recorder,
        finish: Finish,
        settings: QuickRecordingSettings,
        gateway_url: str,
    ) -> None:
        self._repository = repository
        self._rows = rows
        self._meetings = meetings
        self._sealed = sealed
        self._recorder = recorder
        self._finish = finish
        self._settings = settings
        self._gateway_url = gateway_url

    async def start(self, caller: Principal, request: pb.StartRecordingRequest) -> QuickRow:
        """Make a meeting of a link and send the recorder in.

        Raises:
            InvalidArgument: a field is wrong.
            TooManyRecordings: too many are under way.
            ProviderDisabled: the link's provider is off; the message says what to set.
            ProviderFailed: the call cannot be joined.
            ConnectorAway: the connector does not answer.
        """
        check_link(request.url)
        if not 0 <= request.duration_sec <= self._settings.longest_seconds:
            raise InvalidArgument(f"must be 0 to {self._settings.longest_seconds}", field="duration_sec")
        if len(request.request_id) > _MOST_REQUEST_ID_CHARACTERS:
            raise InvalidArgument(f"must have at most {_MOST_REQUEST_ID_CHARACTERS} characters", field="request_id")
        if not request.request_id and await self._repository.under_way(caller.tenant_id) >= self._settings.most_at_once:
            raise TooManyRecordings(self._settings.most_at_once)
        meeting_id = (await self._meetings.start(caller, await self._meeting_of(caller, request))).meeting_id
        wished = QuickRow(
            meeting_id=meeting_id,
            tenant_id=caller.tenant_id,
            url=shown_link(request.url),
            duration_seconds=request.duration_sec,
            transcribe=request.transcribe,
            upload_to_agent=request.upload_to_agent,
            create_time=now(),
        )
        try:
            row, new = await self._repository.begin(wished, most=self._settings.most_at_once, lease=LEASE)
        except TooManyRecordings:
            await self._finish(wished.key)
            raise
        if not new:
            return row
        log.info("quick_recording_started", meeting_id=meeting_id)
        try:
            presence = await self._recorder.send(await self._rows.meeting(row.key))
        except AppError as error:
            await self._finish(row.key)
            await self._keep(row, replace(row, state="failed", error=str(error)))
            raise
        return await self._keep(row, replace(row, session_state=presence.state))

    async def find(self, tenant_id: str, recording_id: str) -> QuickRow | None:
        """Return a recording, the tenant's latest if none is named; None if there was never any.

        Raises:
            MeetingNotFound: none of this name is this tenant's.
        """
        if recording_id:
            return await self._repository.find(MeetingKey(tenant_id, recording_id))
        return await self._repository.latest(tenant_id)

    async def stop(self, row: QuickRow) -> QuickRow:
        """End a recording; one that is over stays as it is."""
        if row.state != "recording":
            return row
        await self._repository.ask_to_stop(row.key)
        return await self.look_after(await self._repository.find(row.key))

    async def look_after(self, row: QuickRow) -> QuickRow:
        """Do what is to be done about a recording now; returns it as it is then."""
        try:
            meeting = await self._rows.meeting(row.key)
        except MeetingNotFound:
            return replace(row, state="failed", error="the meeting was erased")
        if row.state == "recording":
            return await self._keep(row, await self._record(row, meeting))
        return await self._keep(row, await self._assemble(row, meeting))

    def message(self, row: QuickRow, length_ms: int) -> pb.Recording:
        """Return a recording as the contract shows it, with this much sound."""
        pieces, rest = divmod(length_ms, self._settings.segment_seconds * 1000)
        return pb.Recording(
            recording_id=row.meeting_id,
            meeting_id=row.meeting_id,
            state=row.state,
            seconds=length_ms // 1000,
            error=row.error,
            url=row.url,
            segments=pieces + (1 if rest and row.state == "done" else 0),
            audio_path=f"/v1/meetings/{row.meeting_id}/audio?format={AUDIO_FORMAT}" if row.state == "done" else "",
            session_state=row.session_state,
        )

    async def _meeting_of(self, caller: Principal, request: pb.StartRecordingRequest) -> meeting_pb.StartMeetingRequest:
        provider, address = request.provider, request.url
        room = room_in(request.url)
        if provider in ("", ROOM) and room and await self._is_ours(MeetingKey(caller.tenant_id, room)):
            provider, address = ROOM, room_link(self._gateway_url, room)
        wished = meeting_pb.StartMeetingRequest(
            title=request.title or host_of(request.url),
            mode="realtime",
            language=request.language,
            provider=provider or BROWSER,
            meeting_url=address,
            auto_join_connector=False,
            request_id=f"quick-recording:{request.request_id}" if request.request_id else "",
        )
        text = request.transcribe or request.upload_to_agent
        json_format.ParseDict({QUICK_RECORDING: {"text": text, "report": request.upload_to_agent}}, wished.context)
        return wished

    async def _is_ours(self, key: MeetingKey) -> bool:
        """Return whether a room is one of this tenant's: its name is the identifier of a meeting."""
        try:
            await self._rows.meeting(key)
        except MeetingNotFound:
            return False
        return True

    async def _record(self, row: QuickRow, meeting: MeetingRow) -> QuickRow:
        if meeting.over:
            return replace(row, state="assembling")
        if row.stop_time is not None or self._is_long_enough(row, meeting):
            await self._finish(row.key)
            return replace(row, state="assembling", session_state="")
        try:
            presence = await self._recorder.presence(meeting) or await self._send_again(row, meeting)
        except (FailedPrecondition, InvalidArgument) as error:
            await self._finish(row.key)
            return replace(row, state="failed", error=str(error))
        except Unavailable as error:
            log.info("quick_recording_unseen", meeting_id=row.meeting_id, error=str(error))
            return row
        if not presence.over:
            return replace(row, session_state=presence.state)
        await self._finish(row.key)
        why = presence.reason if presence.failed else ""
        return replace(row, state="assembling", session_state=presence.state, error=why)

    async def _send_again(self, row: QuickRow, meeting: MeetingRow) -> Presence:
        """Send in a recorder of which the connector knows nothing."""
        if now() - row.create_time > SEND_AGAIN:
            return Presence("", "the connector knows nothing of the recorder", over=True, failed=True)
        return await self._recorder.send(meeting)

    async def _assemble(self, row: QuickRow, meeting: MeetingRow) -> QuickRow:
        if meeting.state == "failed":
            return replace(row, state="failed", error=row.error or "the meeting failed")
        if meeting.state != "finished":
            if not meeting.over:
                await self._finish(row.key)
            return row
        try:
            await self._sealed.find(row.key, "", AUDIO_FORMAT)
        except AudioNotFound as absent:
            if absent.retry_after_seconds is not None:
                return row  # it is being put away
            return replace(row, state="failed", error=row.error or str(absent))
        return replace(row, state="done")

    def _is_long_enough(self, row: QuickRow, meeting: MeetingRow) -> bool:
        moment = now()
        longest = timedelta(seconds=self._settings.longest_seconds)
        if moment - row.create_time >= longest:
            return True
        since = meeting.start_time
        return bool(row.duration_seconds and since and moment - since >= timedelta(seconds=row.duration_seconds))

    async def _keep(self, before: QuickRow, after: QuickRow) -> QuickRow:
        if await self._repository.move(before, after, self._pause(after)):
            if after.state != before.state:
                log.info("quick_recording_moved", meeting_id=after.meeting_id, state=after.state, error=after.error)
            return after
        return await self._repository.find(before.key)

    def _pause(self, row: QuickRow) -> timedelta:
        return LOOK / 4 if row.state == "assembling" else LOOK
