"""Meetings: started, read, listed, finished."""

import base64
import binascii
import re
from datetime import datetime
from typing import Any, Protocol

from google.protobuf import json_format

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.auth.principal import Principal
from kit.errors import AppError, InvalidArgument
from kit.ids import new_id
from kit.telemetry import logs
from services.ingest.coverage.accounts import coverage_message
from services.ingest.errors import MeetingElsewhere, PageTokenInvalid
from services.ingest.intake.session import MeetingKey, check_language
from services.ingest.live.meetings import LiveMeetings
from services.ingest.messages import meeting_message, raw_transcript, stored_coverage
from services.ingest.recorder import Recorder
from services.ingest.repository import IngestRepository
from services.ingest.rows import MeetingRow, NewMeeting
from services.ingest.settings import MeetingSettings
from services.ingest.watching.hub import Hub

_MODES = ("realtime", "upload")
_STATES = ("scheduled", "live", "finishing", "finished", "failed")
_ENDED = ("finished", "failed")
_MAX_TITLE_CHARACTERS = 200
_MAX_URL_CHARACTERS = 2_000
_MAX_CONTEXT_BYTES = 64 * 1024
_MAX_REQUEST_ID_CHARACTERS = 128
_PROVIDER = re.compile(r"[a-z0-9_-]{0,64}")
_PAGE = (20, 100)

log = logs.get()


class Blobs(Protocol):
    """Where the clean transcript is."""

    async def get(self, key: str) -> bytes: ...


class Meetings:
    """What MeetingService does, streams aside."""

    def __init__(
        self,
        repository: IngestRepository,
        live: LiveMeetings,
        hub: Hub,
        recorder: Recorder,
        blobs: Blobs,
        settings: MeetingSettings,
        tenant_context: str = "",
    ) -> None:
        self._repository = repository
        self._live = live
        self._hub = hub
        self._recorder = recorder
        self._blobs = blobs
        self._settings = settings
        self._tenant_context = tenant_context

    async def start(self, caller: Principal, request: pb.StartMeetingRequest) -> pb.StartMeetingResponse:
        """Make a meeting, and send the recorder in if that was asked for.

        Raises:
            InvalidArgument: a field is wrong.
            RequestIdReused: the request_id came before, with another request.
        """
        new = self._new(caller, request)
        joins = new.mode == "realtime" and self._settings.auto_join_on_start
        if request.HasField("auto_join_connector"):
            joins = request.auto_join_connector
        meeting = await self._repository.create_meeting(new)
        response = pb.StartMeetingResponse(
            meeting_id=meeting.meeting_id, meeting=meeting_message(meeting), connector_auto_join=joins
        )
        log.info("meeting_started", meeting_id=meeting.meeting_id, mode=meeting.mode, auto_join=joins)
        if joins:
            response.connector_provider = meeting.provider
            response.connector_connected, response.connector_error = await self._recorder.join(meeting)
        return response

    def _new(self, caller: Principal, request: pb.StartMeetingRequest) -> NewMeeting:
        mode = request.mode or "realtime"
        if mode not in _MODES:
            raise InvalidArgument("must be 'realtime' or 'upload'", field="mode")
        _check_length(request.title, _MAX_TITLE_CHARACTERS, "title")
        _check_length(request.meeting_url, _MAX_URL_CHARACTERS, "meeting_url")
        _check_length(request.request_id, _MAX_REQUEST_ID_CHARACTERS, "request_id")
        check_language(request.language, "language")
        if not _PROVIDER.fullmatch(request.provider):
            raise InvalidArgument("is not the name of a provider", field="provider")
        if request.context.ByteSize() > _MAX_CONTEXT_BYTES:
            raise InvalidArgument(f"has more than {_MAX_CONTEXT_BYTES} bytes", field="context")
        provider = request.provider or (self._settings.connector_provider if mode == "realtime" else "")
        return NewMeeting(
            meeting_id=new_id(),
            tenant_id=caller.tenant_id,
            title=request.title,
            mode=mode,
            language=request.language.lower(),
            provider=provider,
            provider_ref=request.meeting_url,
            context=self._context(caller, request),
            request_id=request.request_id,
            created_by=caller.subject,
        )

    def _context(self, caller: Principal, request: pb.StartMeetingRequest) -> dict[str, Any]:
        """Return what the caller gave, with the tenant in it where tenants are enforced; nobody may say another."""
        context: dict[str, Any] = json_format.MessageToDict(request.context)
        return {**context, self._tenant_context: caller.tenant_id} if self._tenant_context else context

    async def get(self, key: MeetingKey) -> pb.Meeting:
        """Return a meeting with its transcripts and report as far as they exist.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        row = await self._repository.meeting(key)
        message = self._as_it_is(row)
        segments = await self._repository.segments(key)
        message.raw_transcript = raw_transcript(segments)
        # A meeting that lives elsewhere is at least as long as what is settled.
        message.duration_ms = max(message.duration_ms, max((each.end_ms for each in segments), default=0))
        documents = await self._repository.documents(key)
        if documents.report is not None:
            json_format.ParseDict(dict(documents.report), message.report, ignore_unknown_fields=True)
        if documents.clean_blob_key is not None:
            try:
                message.enhanced_transcript = (await self._blobs.get(documents.clean_blob_key)).decode()
            except (AppError, OSError) as error:
                log.warning("clean_transcript_unreadable", meeting_id=key.meeting_id, error=type(error).__name__)
        return message

    async def goes_on(self, key: MeetingKey) -> bool:
        """Return whether a meeting is not over yet.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        state, _ = await self._repository.report_state(key)
        return state not in _ENDED

    async def list(self, tenant_id: str, request: pb.ListMeetingsRequest) -> pb.ListMeetingsResponse:
        """Return one page, newest first.

        Raises:
            InvalidArgument: the page or the state is not one.
        """
        usual, most = _PAGE
        size = request.page_size or usual
        if not 0 < size <= most:
            raise InvalidArgument(f"must be 1 to {most}", field="page_size")
        if request.state and request.state not in _STATES:
            raise InvalidArgument(f"must be one of {', '.join(_STATES)}", field="state")
        before = _read_token(request.page_token, request.state) if request.page_token else None
        rows = await self._repository.list_meetings(tenant_id, state=request.state, before=before, limit=size + 1)
        page = rows[:size]
        token = _token(page[-1], request.state) if len(rows) > size else ""
        return pb.ListMeetingsResponse(meetings=[self._as_it_is(row) for row in page], next_page_token=token)

    async def call_off(self, key: MeetingKey) -> None:
        """Take the recorder out of a meeting that is not over, before it is erased.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        row = await self._repository.meeting(key)
        if row.mode == "realtime" and row.state not in _ENDED:
            await self._recorder.leave(row)

    async def finish(self, key: MeetingKey) -> pb.Meeting:
        """End a meeting: the recorder leaves, sessions end, the rest follows by itself.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        row = await self._repository.meeting(key)
        if row.state in _ENDED:
            return self._as_it_is(row)
        if row.mode == "realtime":
            await self._recorder.leave(row)
        row = await self._repository.begin_finish(key)
        live = self._live.find(key)
        if live is not None:
            live.request_finish()
        elif row.start_time is None:
            row = await self._finish_unheard(row)
        else:
            self._live.take_up(key)  # it was left half-way, on this node or one that is gone
        return self._as_it_is(row)

    async def _finish_unheard(self, row: MeetingRow) -> MeetingRow:
        key = MeetingKey(row.tenant_id, row.meeting_id)
        await self._repository.finish_unheard(key)
        row = await self._repository.meeting(key)
        self._hub.publish(key, pb.WatchMeetingResponse(meeting=meeting_message(row)))
        return row

    async def coverage(self, key: MeetingKey) -> pb.GetCoverageResponse:
        """Account for every millisecond of every participant, as far as it has come.

        Raises:
            MeetingNotFound: there is none for this tenant.
            MeetingElsewhere: it goes on, and the replica that knows is gone; the next one will know.
        """
        row = await self._repository.meeting(key)
        response = pb.GetCoverageResponse(meeting_id=key.meeting_id)
        live = self._live.find(key)
        if row.state != "finished" and live is not None:
            response.duration_ms = live.length_ms
            response.participants.extend(coverage_message(one, intervals=True) for one in live.accounts())
        elif row.state in ("live", "finishing"):
            raise MeetingElsewhere(key.meeting_id, "")
        else:
            response.duration_ms = row.duration_ms
            response.participants.extend(stored_coverage(await self._repository.coverage(key), row.participants))
        return response

    def _as_it_is(self, row: MeetingRow) -> pb.Meeting:
        """Return a meeting, with the length that a live one has reached."""
        message = meeting_message(row)
        live = self._live.find(MeetingKey(row.tenant_id, row.meeting_id))
        if live is not None and row.state != "finished":
            message.duration_ms = live.length_ms
        return message


def _check_length(value: str, most: int, field: str) -> None:
    if len(value) > most:
        raise InvalidArgument(f"must have at most {most} characters", field=field)


def _token(row: MeetingRow, state: str) -> str:
    """Return where the page after `row` begins; it also says for which question it was made."""
    return base64.urlsafe_b64encode(f"1|{state}|{row.create_time.isoformat()}|{row.meeting_id}".encode()).decode()


def _read_token(token: str, state: str) -> tuple[datetime, str]:
    try:
        version, asked, moment, meeting_id = base64.urlsafe_b64decode(token.encode()).decode().split("|")
        if version != "1" or asked != state:
            raise ValueError
        return datetime.fromisoformat(moment), meeting_id
    except (ValueError, binascii.Error) as error:
        raise PageTokenInvalid(field="page_token") from error
