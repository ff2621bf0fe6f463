"""The recorder in one SberJazz call: pages of chunks, in order and each once, on one timeline over every rejoin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from kit.clock import now
from kit.telemetry import logs
from services.connector.provider import (
    Basis,
    Chunk,
    ChunkRefused,
    ChunkSink,
    Heard,
    ProviderAway,
    Pulled,
    SourceListener,
)
from services.connector.providers.sberjazz_contract import (
    MAX_CHUNKS,
    MAX_NAME_CHARACTERS,
    ChunkPart,
    Encoding,
    Joined,
    Page,
    Speaker,
)
from services.connector.providers.sberjazz_http import AnswerInvalid, AnswerTooLarge, Away, SberJazzClient, problem_of

_REMEMBERED = 4096
"""Sequence numbers kept to know a repeated chunk without asking ingest, which knows every one."""
_NOBODY = "unknown"
"""Participant of chunks that name none."""

log = logs.get()


class Place(BaseModel):
    """Where the next pull goes on; written into the session's record as JSON.

    `origin_ms` is the wall clock at sample 0 of the meeting, in milliseconds since 1970; `offset_ms` is where the stay
    named by `connection_id` begins on that timeline.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    connection_id: str
    cursor: str = ""
    origin_ms: int
    offset_ms: int = 0


def read_place(remembered: str) -> Place | None:
    """Return what an earlier source remembered; None if there was none, or nobody can read it."""
    try:
        return Place.model_validate_json(remembered) if remembered else None
    except ValidationError:
        log.warning("sberjazz_cursor_unreadable")
        return None


def place_after(joined: Joined, before: Place | None) -> Place:
    """Return where to go on after a join, given where an earlier source was."""
    began_ms = round(now().timestamp() * 1000) - joined.age_ms
    if before is None:
        return Place(connection_id=joined.connection_id, origin_ms=began_ms)
    if before.connection_id == joined.connection_id:
        return before
    # Another stay has a timeline of its own: the meeting's goes on, and what lies between was not heard.
    offset_ms = max(0, began_ms - before.origin_ms)
    return Place(connection_id=joined.connection_id, origin_ms=before.origin_ms, offset_ms=offset_ms)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A chunk that cannot be read: its sequence, 0 if not even that is known, and why."""

    sequence: int
    why: str


class SberJazzSource:
    """Fetches the chunks of one stay; see `PullSource`.

    A chunk whose predecessor has not come waits for the next pull, which is the late one's last chance to be heard in
    its place. The cursor waits with it, so that a restart loses nothing.
    """

    def __init__(
        self,
        client: SberJazzClient,
        meeting_id: str,
        place: Place,
        chunks: ChunkSink,
        listener: SourceListener,
        *,
        notice_posted: bool,
        withdrawn: frozenset[str] = frozenset(),
    ) -> None:
        self._client = client
        self._meeting_id = meeting_id
        self._place = place
        self._fetched_cursor = place.cursor
        self._chunks = chunks
        self._listener = listener
        self._channel = "chat" if notice_posted else "roster"
        self._most_chunks = MAX_CHUNKS
        self._next_sequence: int | None = None
        self._waiting: dict[int, ChunkPart | Refusal] = {}
        self._seen: dict[int, None] = {}
        self._people: dict[str, Heard] = {}
        self._numbers: dict[str, int] = {}
        self._told: set[str] = set()
        self._withdrawn_ms = dict.fromkeys(withdrawn, 0)

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call as the last page said."""
        return list(self._people.values())

    @property
    def cursor(self) -> str:
        """What a source after a restart must be given."""
        return self._place.model_dump_json()

    async def pull(self, limit: int) -> Pulled:
        """Fetch a page and store what can be stored; see `PullSource.pull`."""
        try:
            page = await self._client.live_pull(
                self._meeting_id, self._place.connection_id, self._fetched_cursor, max(1, min(limit, self._most_chunks))
            )
        except AnswerTooLarge as error:
            self._most_chunks = max(1, min(limit, self._most_chunks) // 2)
            raise _passing(error) from error
        except AnswerInvalid as error:
            raise _passing(error) from error
        self._meet(page)
        late = dict(self._waiting)
        duplicates = sum(not self._take(number, raw, late) for number, raw in enumerate(page.chunks))
        stored = invalid = 0
        held: dict[int, ChunkPart | Refusal] = {}
        for sequence in sorted(late):
            part = late[sequence]
            if sequence not in self._waiting and not self._follows(sequence):
                held[sequence] = part
                continue
            if isinstance(part, ChunkPart) and not self._withdrew(part):
                try:
                    if await self._chunks.put(self._chunk(part)):
                        stored += 1
                    else:
                        duplicates += 1
                except ChunkRefused as refused:
                    part = Refusal(part.sequence, str(refused))
            if isinstance(part, Refusal):
                invalid += 1
                log.warning("sberjazz_chunk_refused", sequence=part.sequence, reason=part.why)
            self._done(sequence)
        self._waiting = held
        self._fetched_cursor = page.next_cursor
        if not held:
            self._place = self._place.model_copy(update={"cursor": page.next_cursor})
        return Pulled(len(page.chunks), stored, duplicates, invalid, self.cursor)

    def withdraw(self, participant_id: str) -> bool:
        """Store nothing that a participant says from this moment on; returns whether there is one of this id."""
        if participant_id not in self._people and participant_id not in self._numbers:
            return False
        if participant_id not in self._withdrawn_ms:
            self._withdrawn_ms[participant_id] = round(now().timestamp() * 1000) - self._place.origin_ms
            self._listener.withdrew(participant_id)
        return True

    async def status(self) -> str:
        """Ask whether the recorder is in the call; see `PullSource.status`."""
        try:
            return str((await self._client.status(self._meeting_id)).state)
        except AnswerInvalid as error:
            raise _passing(error) from error

    def _take(self, number: int, raw: object, late: dict[int, ChunkPart | Refusal]) -> bool:
        """Read one chunk of a page; False if it is known."""
        part: ChunkPart | Refusal
        try:
            part = ChunkPart.model_validate(raw, strict=False)
        except ValidationError as error:
            part = Refusal(_sequence_of(raw), problem_of(error))
        # What has no number of its own has a place in the page: before everything, where nobody waits for it.
        sequence = part.sequence or -1 - number
        if sequence in self._seen or sequence in late:
            return False
        late[sequence] = part
        return True

    def _withdrew(self, part: ChunkPart) -> bool:
        """Whether the chunk's voice had withdrawn before its end, as near as a chunk can tell."""
        since_ms = self._withdrawn_ms.get(part.participant_id)
        return since_ms is not None and self._place.offset_ms + part.start_ms + part.least_ms > since_ms

    def _follows(self, sequence: int) -> bool:
        return sequence < 0 or self._next_sequence is None or sequence <= self._next_sequence

    def _done(self, sequence: int) -> None:
        if sequence < 0:
            return
        self._next_sequence = max(self._next_sequence or 0, sequence + 1)
        self._seen[sequence] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _chunk(self, part: ChunkPart) -> Chunk:
        participant_id, name, basis = self._speaker(part)
        raw = part.encoding is Encoding.S16LE
        return Chunk(
            key=f"{self._place.connection_id}:{part.sequence}",
            participant_id=participant_id,
            display_name=name,
            basis=basis,
            content=part.audio,
            encoding="s16le" if raw else "",
            sample_rate_hertz=part.sample_rate_hertz if raw else 0,
            start_ms=self._place.offset_ms + part.start_ms,
        )

    def _speaker(self, part: ChunkPart) -> tuple[str, str, Basis]:
        """Return whose chunk it is. A name stands only where the provider says who it is and how it knows."""
        participant_id = part.participant_id or _NOBODY
        number = self._numbers.setdefault(participant_id, len(self._numbers) + 1)
        person = self._people.get(part.participant_id)
        name = shown_name(part.name) or (person.display_name if person else "")
        if not name or not part.participant_id or part.speaker is Speaker.UNKNOWN:
            return participant_id, f"Speaker {number}", Basis.GUESS
        return participant_id, name, Basis.OWN_TRACK if part.speaker is Speaker.OWN_TRACK else Basis.ROSTER

    def _meet(self, page: Page) -> None:
        self._people = {
            person.participant_id: Heard(
                person.participant_id,
                shown_name(person.name),
                person.muted,
                0.0,
                withdrawn=person.participant_id in self._withdrawn_ms,
            )
            for person in page.participants
        }
        for person in self._people.values():
            if person.participant_id not in self._told:
                self._told.add(person.participant_id)
                self._listener.told(person.participant_id, person.display_name, self._channel)


def _passing(invalid: AnswerInvalid) -> ProviderAway:
    """Return what an unreadable answer is to a recorder that is in the call.

    It is not asked for again at once, but it may be some proxy's, so it does not end a recording: after enough of them
    the call is joined anew, and a provider that does not keep the contract then is refused.
    """
    return Away(str(invalid), retryable=False)


def shown_name(name: str) -> str:
    """Return a name as it can stand in a transcript: one line, nothing invisible, of a bounded length."""
    plain = "".join(character if character.isprintable() else " " for character in name[: 4 * MAX_NAME_CHARACTERS])
    return " ".join(plain.split())[:MAX_NAME_CHARACTERS]


def _sequence_of(raw: object) -> int:
    sequence = raw.get("sequence") if isinstance(raw, Mapping) else None
    usable = isinstance(sequence, int) and not isinstance(sequence, bool) and 0 < sequence < 2**63
    return sequence if usable and sequence is not None else 0
