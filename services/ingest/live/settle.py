"""Settling: finals and cursors into the store, for as long as it takes, and then to everyone who watches.

While the database is away a feed waits here. Its audio goes on being journalled and acknowledged; only the text is
late.
"""

from agent.ingest.v1 import meeting_service_pb2 as pb
from agent.stt.v1 import stt_service_pb2 as stt
from kit.clock import monotonic
from services.ingest import metrics
from services.ingest.intake.session import Session
from services.ingest.intake.track import Track
from services.ingest.live.repository import LiveRepository
from services.ingest.messages import segment_message
from services.ingest.retry import until_done
from services.ingest.rows import NewSegment, Tenure, WordRow
from services.ingest.timeline import milliseconds_of
from services.ingest.watching.hub import Hub


class Settler:
    """The sink of every feed of one meeting, for one tenure."""

    def __init__(self, repository: LiveRepository, tenure: Tenure, hub: Hub, cursor_seconds: float) -> None:
        self._repository = repository
        self._tenure = tenure
        self._hub = hub
        self._cursor_seconds = cursor_seconds
        self._stored_at: dict[tuple[str, int], float] = {}

    async def settle(self, session: Session, track: Track, final: stt.Final) -> None:
        """Store a final and the cursor behind it in one transaction, then tell the watchers."""
        if not final.text.strip():
            await self.decide(session, track, final.decided_sample, last=False)
            return
        words = [WordRow(word.text, word.start_ms, word.end_ms, round(word.confidence, 4)) for word in final.words]
        new = NewSegment(
            participant_id=track.participant_id,
            speaker=track.display_name or track.participant_id,
            start_sample=final.start_sample,
            end_sample=max(final.end_sample, final.start_sample),
            decided_sample=final.decided_sample,
            text=final.text,
            words=words,
            language=final.language,
            confidence=final.confidence,
            engine=final.engine,
            model=final.model,
            cost_usd=final.cost_usd,
        )
        segment = await until_done("segments", lambda: self._repository.settle(self._tenure, session, track, new))
        track.settle(new.start_sample, new.end_sample, len(words) or len(new.text.split()))
        self._stored(session, track)
        metrics.SEGMENTS.labels(segment.engine).inc()
        self._hub.publish(
            session.key, pb.WatchMeetingResponse(cursor=segment.ordinal, segment=segment_message(segment))
        )

    async def decide(self, session: Session, track: Track, sample: int, *, last: bool, cost_usd: float = 0.0) -> None:
        """Keep a cursor that no final tells of; a crash may cost the last seconds' worth of them, to be heard again.

        `cost_usd` was billed since the last final for speech that gave no text; it comes with the last cursor.
        """
        place = (session.session_id, track.number)
        if last:
            await until_done(
                "cursors",
                lambda: self._repository.move_cursor(self._tenure, session, track, sample, cost_usd=cost_usd),
            )
        elif monotonic() - self._stored_at.get(place, 0.0) >= self._cursor_seconds:
            self._stored(session, track)
            await until_done("cursors", lambda: self._repository.move_cursor(self._tenure, session, track, sample))

    def interim(self, session: Session, track: Track, interim: stt.Interim) -> None:
        """Show text in the making to whoever watches now."""
        if not self._hub.watched(session.key):
            return
        text = pb.InterimText(
            participant_id=track.participant_id,
            speaker=track.display_name or track.participant_id,
            start_ms=milliseconds_of(interim.start_sample),
            stable_text=interim.stable_text,
            unstable_text=interim.unstable_text,
        )
        self._hub.publish(session.key, pb.WatchMeetingResponse(interim=text))

    def _stored(self, session: Session, track: Track) -> None:
        self._stored_at[session.session_id, track.number] = monotonic()
