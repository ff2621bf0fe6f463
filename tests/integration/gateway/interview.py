"""An interview to show: what the rooms would say about a finished and a running conversation."""

from collections.abc import Sequence
from typing import Any

from agent.common.v1 import report_pb2, transcript_pb2
from agent.ingest.v1 import meeting_service_pb2 as meetings

MEETING_ID = "0199a7c2-4b1e-7d30-9c55-1f2e3d4c5b6a"
DURATION_MS = 246_000
ANNA, MARK = "p-anna", "p-mark"

_LINES: Sequence[tuple[str, str, int, int, str]] = (
    (ANNA, "Anna Petrova", 4_200, 11_900, "Thanks for joining. Could you describe the project you are most proud of?"),
    (
        MARK,
        "Mark Weber",
        13_000,
        29_400,
        "Last year we rebuilt the billing pipeline. It handled two million invoices a month and failed each quarter.",
    ),
    (ANNA, "Anna Petrova", 30_600, 35_000, "What exactly was your part in it?"),
    (
        MARK,
        "Mark Weber",
        36_100,
        58_300,
        "I designed the retry queue and wrote the migration. We decided to keep both systems running for six weeks.",
    ),
    (ANNA, "Anna Petrova", 60_000, 65_800, "How did you know that nothing was lost in the move?"),
    (
        MARK,
        "Mark Weber",
        67_000,
        91_200,
        "We compared every invoice by checksum. The risk was the time zone logic, nobody had tested it before.",
    ),
    (ANNA, "Anna Petrova", 93_500, 99_000, "And what would you do differently today?"),
    (
        MARK,
        "Mark Weber",
        100_200,
        121_700,
        "I would involve the accountants from the first week. They knew every corner case that we found the hard way.",
    ),
    (ANNA, "Anna Petrova", 124_000, 131_500, "Let us talk about the team. How many people did you lead?"),
    (
        MARK,
        "Mark Weber",
        133_000,
        151_000,
        "Four engineers, and later two analysts. I still review their designs every Thursday.",
    ),
    (ANNA, "Anna Petrova", 160_400, 166_700, "I will send you the exercise by Friday, and you have a week for it."),
    (
        MARK,
        "Mark Weber",
        168_000,
        181_900,
        "Sounds good. Could you also share the architecture notes of your current system?",
    ),
    (ANNA, "Anna Petrova", 183_300, 190_500, "Sure, I will ask the platform group and come back to you on Monday."),
    (MARK, "Mark Weber", 205_000, 219_300, "One last question from me: how do you decide what goes to production?"),
    (
        ANNA,
        "Anna Petrova",
        221_000,
        240_800,
        "Every change is reviewed by two people, and the release train leaves on Tuesdays. We decided that in autumn.",
    ),
)


def segments() -> list[transcript_pb2.Segment]:
    """The finals, in order of settling."""
    return [
        transcript_pb2.Segment(
            segment_id=f"s-{ordinal}",
            meeting_id=MEETING_ID,
            ordinal=ordinal,
            participant_id=participant,
            speaker=speaker,
            start_ms=start,
            end_ms=end,
            text=text,
            words=_words(text, start, end) if participant == MARK else (),
            language="en",
            confidence=0.9,
            engine="demo",
            model="tiny-whisper",
        )
        for ordinal, (participant, speaker, start, end, text) in enumerate(_LINES, 1)
    ]


def _words(text: str, start_ms: int, end_ms: int) -> list[transcript_pb2.Word]:
    """Each word as long as the others; only Mark's words were measured."""
    words = text.split()
    pace = (end_ms - start_ms) // len(words)
    return [
        transcript_pb2.Word(text=word, start_ms=start_ms + n * pace, end_ms=start_ms + (n + 1) * pace, confidence=0.9)
        for n, word in enumerate(words)
    ]


def participants() -> list[meetings.Participant]:
    """Who speaks."""
    return [
        meetings.Participant(participant_id=ANNA, display_name="Anna Petrova", basis="own_track", language="en"),
        meetings.Participant(
            participant_id=MARK, display_name="Mark Weber", basis="own_track", language="en", joined_ms=2_000
        ),
    ]


def meeting(
    state: str = "finished", meeting_id: str = MEETING_ID, title: str = "Backend engineer, second interview"
) -> meetings.Meeting:
    """The meeting in a state."""
    made = meetings.Meeting(
        meeting_id=meeting_id,
        title=title,
        mode="realtime",
        state=state,
        language="en",
        provider="room",
        report_state="ready" if state == "finished" else "none",
    )
    made.create_time.FromJsonString("2026-11-20T09:58:12Z")
    if state != "scheduled":
        made.start_time.FromJsonString("2026-11-20T10:00:03Z")
        made.participants.extend(participants())
    if state == "finished":
        made.end_time.FromJsonString("2026-11-20T10:04:09Z")
        made.duration_ms = DURATION_MS
        made.segments = len(_LINES)
        made.raw_transcript = "\n".join(f"{one.speaker}: {one.text}" for one in segments())
    return made


def quote(ordinal: int, words: str) -> report_pb2.Evidence:
    """A quotation of a segment."""
    segment = segments()[ordinal - 1]
    start = segment.text.index(words)
    return report_pb2.Evidence(
        segment_id=segment.segment_id,
        char_start=start,
        char_end=start + len(words),
        quote=words,
        participant_id=segment.participant_id,
        speaker=segment.speaker,
        start_ms=segment.start_ms,
        end_ms=segment.end_ms,
    )


def claim(number: int, text: str, *evidence: report_pb2.Evidence) -> report_pb2.Claim:
    """A claim with its quotations."""
    return report_pb2.Claim(
        claim_id=f"c-{number}",
        text=text,
        evidence=evidence,
        origin=report_pb2.CLAIM_ORIGIN_EXTRACTIVE,
        confidence=report_pb2.CONFIDENCE_HIGH,
    )


def talk() -> report_pb2.TalkStatistics:
    """Who spoke how much."""
    return report_pb2.TalkStatistics(
        duration_ms=DURATION_MS,
        silence_ms=61_000,
        overlap_ms=0,
        switches_per_minute=3.4,
        balance=0.81,
        speakers=[
            report_pb2.SpeakerStatistics(
                participant_id=MARK,
                speaker="Mark Weber",
                talk_ms=116_000,
                talk_ratio=0.627,
                words=131,
                words_per_minute=132,
                turns=7,
                longest_turn_ms=24_200,
                questions=2,
                fillers_per_100_words=1.2,
            ),
            report_pb2.SpeakerStatistics(
                participant_id=ANNA,
                speaker="Anna Petrova",
                talk_ms=69_000,
                talk_ratio=0.373,
                words=117,
                words_per_minute=141,
                turns=8,
                longest_turn_ms=19_800,
                questions=5,
                fillers_per_100_words=0.4,
            ),
        ],
    )


def coverage(*, intervals: bool = True) -> list[transcript_pb2.ParticipantCoverage]:
    """The account of every millisecond; each adds up to DURATION_MS."""
    kinds = transcript_pb2.CoverageKind
    names = {ANNA: "Anna Petrova", MARK: "Mark Weber"}
    marks = {
        MARK: [
            (2_000, 12_000, kinds.COVERAGE_KIND_SILENT),
            (92_000, 100_000, kinds.COVERAGE_KIND_MUTED),
            (140_000, 142_400, kinds.COVERAGE_KIND_LOST),
            (176_000, 177_200, kinds.COVERAGE_KIND_CONCEALED),
        ],
        ANNA: [(140_000, 156_000, kinds.COVERAGE_KIND_MUTED), (232_000, 232_600, kinds.COVERAGE_KIND_CONCEALED)],
    }
    accounts = []
    for participant, name in names.items():
        joined = 2_000 if participant == MARK else 0
        spans = sorted([*marks[participant], *_speech(participant, marks[participant])])
        filled: list[tuple[int, int, Any]] = []
        at = joined
        for start, end, kind in spans:
            if start > at:
                filled.append((at, start, kinds.COVERAGE_KIND_SILENT))
            filled.append((start, end, kind))
            at = end
        if at < DURATION_MS:
            filled.append((at, DURATION_MS, kinds.COVERAGE_KIND_SILENT))
        account = transcript_pb2.ParticipantCoverage(participant_id=participant, display_name=name, absent_ms=joined)
        for start, end, kind in filled:
            field = kinds.Name(kind).removeprefix("COVERAGE_KIND_").lower()
            setattr(account.coverage_ms, field, getattr(account.coverage_ms, field) + end - start)
            if intervals:
                account.intervals.add(kind=kind, start_ms=start, end_ms=end)
        accounts.append(account)
    return accounts


def _speech(participant: str, marks: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    kind = transcript_pb2.COVERAGE_KIND_TRANSCRIBED
    pieces = [(start, end) for who, _, start, end, _ in _LINES if who == participant]
    for low, high, _ in marks:
        pieces = [
            piece
            for start, end in pieces
            for piece in ((start, min(end, low)), (max(start, high), end))
            if piece[0] < piece[1]
        ]
    return [(start, end, kind) for start, end in pieces]


def report() -> report_pb2.Report:
    """The finished report."""
    return report_pb2.Report(
        schema_version="1",
        meeting_id=MEETING_ID,
        revision=1,
        language="en",
        title="Backend engineer, second interview",
        mode="interview",
        headline="Two people spoke for 4 minutes; 6 questions were asked and 6 were answered.",
        key_moments=[
            claim(
                1, "Last year we rebuilt the billing pipeline.", quote(2, "Last year we rebuilt the billing pipeline.")
            ),
            claim(
                2,
                "I would involve the accountants from the first week.",
                quote(8, "I would involve the accountants from the first week."),
            ),
        ],
        questions=[
            report_pb2.Question(
                question=claim(
                    3,
                    "How did you know that nothing was lost in the move?",
                    quote(5, "How did you know that nothing was lost in the move?"),
                ),
                asked_by="Anna Petrova",
                answered_by="Mark Weber",
                answered=True,
                answer=[
                    claim(
                        4, "We compared every invoice by checksum.", quote(6, "We compared every invoice by checksum.")
                    )
                ],
            ),
            report_pb2.Question(
                question=claim(5, "What exactly was your part in it?", quote(3, "What exactly was your part in it?")),
                asked_by="Anna Petrova",
                answered_by="Mark Weber",
                answered=True,
                answer=[
                    claim(
                        6,
                        "I designed the retry queue and wrote the migration.",
                        quote(4, "I designed the retry queue and wrote the migration."),
                    )
                ],
            ),
            report_pb2.Question(
                question=claim(
                    7,
                    "Could you also share the architecture notes of your current system?",
                    quote(12, "Could you also share the architecture notes of your current system?"),
                ),
                asked_by="Mark Weber",
                answered=False,
            ),
        ],
        actions=[
            report_pb2.ActionItem(
                claim=claim(
                    8, "I will send you the exercise by Friday", quote(11, "I will send you the exercise by Friday")
                ),
                kind=report_pb2.ACTION_KIND_COMMITMENT,
                owner="Anna Petrova",
                due_date="2026-11-27",
                due_text="by Friday",
            ),
            report_pb2.ActionItem(
                claim=claim(9, "I will ask the platform group", quote(13, "I will ask the platform group")),
                kind=report_pb2.ACTION_KIND_COMMITMENT,
                owner="Anna Petrova",
                due_date="2026-11-23",
                due_text="on Monday",
            ),
        ],
        decisions=[
            claim(
                10,
                "We decided to keep both systems running for six weeks.",
                quote(4, "We decided to keep both systems running for six weeks."),
            )
        ],
        risks=[
            claim(
                11,
                "The risk was the time zone logic, nobody had tested it before.",
                quote(6, "The risk was the time zone logic, nobody had tested it before."),
            )
        ],
        key_phrases=[
            report_pb2.KeyPhrase(phrase="billing pipeline", count=1, evidence=[quote(2, "billing pipeline")]),
            report_pb2.KeyPhrase(phrase="retry queue", count=1, evidence=[quote(4, "retry queue")]),
            report_pb2.KeyPhrase(phrase="release train", count=1, evidence=[quote(15, "release train")]),
        ],
        talk=talk(),
        coverage=coverage(intervals=False),
        warnings=["A demonstration speech model was used; it knows 200 words."],
        provenance=report_pb2.Provenance(
            transcript_sha256="9f2c" * 16,
            segments=len(_LINES),
            analyser="embedded",
            analyser_version="1",
            speech_engines=["demo/tiny-whisper"],
            create_time="2026-11-20T10:04:31Z",
        ),
    )
