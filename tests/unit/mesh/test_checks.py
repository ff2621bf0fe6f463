"""The demo's judgement must be able to fail: each check sees a good call and a bad one."""

from agent.common.v1 import report_pb2, transcript_pb2
from agent.common.v1.transcript_pb2 import Segment
from mesh.demo import checks
from mesh.demo.checks import Heard
from mesh.demo.reference import Reference, Speaker, Utterance
from mesh.demo.summary import ParticipantSummary, Summary

ALICE = Speaker("alice", "Alice Moore", "en")
BEN = Speaker("ben", "Ben Carter", "en")
REFERENCE = Reference(
    "en",
    10.0,
    (ALICE, BEN),
    (
        Utterance("alice", 0, 2000, "Tell me about the project."),
        Utterance("ben", 3000, 5000, "I worked with Python."),
        Utterance("alice", 8000, 9000, "Thank you very much."),
    ),
)


def segment(start_ms: int, end_ms: int, text: str) -> Segment:
    return Segment(segment_id=f"s{start_ms}", start_ms=start_ms, end_ms=end_ms, text=text)


def test_the_words_that_were_said_have_no_errors():
    written = [segment(100, 2100, "tell me about the project"), segment(8100, 9200, "Thank you very much!")]
    assert checks.word_error_rate(REFERENCE.said_by(ALICE), written) == 0


def test_a_missing_utterance_counts_each_of_its_words():
    assert checks.word_error_rate(REFERENCE.said_by(ALICE), [segment(100, 2100, "Tell me about the project.")]) == 4 / 9


def test_words_without_anything_said_are_errors():
    assert checks.word_error_rate((), [segment(0, 10, "invented")]) == 1.0


def test_yo_and_ye_are_the_same_letter():
    assert checks.words("Отчёт, ГОТОВ.") == ["отчет", "готов"]


def test_another_speakers_words_under_a_name_are_found():
    written = [segment(100, 2100, "Tell me about the project."), segment(3000, 5000, "I worked with Python.")]
    assert checks.misattributed_words("Alice Moore", written, REFERENCE, 0) == 4


def test_a_wrong_word_that_nobody_else_said_is_no_misattribution():
    written = [segment(100, 2100, "Tell me about the budget."), segment(8100, 9200, "Thank you very much.")]
    assert checks.misattributed_words("Alice Moore", written, REFERENCE, 0) == 0


def test_latency_runs_from_the_true_end_of_speech():
    heard = [Heard(segment(1200, 3200, "Tell me about the project."), arrival_ms=1_000_000 + 2650)]
    # The callers' clock starts one second into the meeting.
    assert checks.final_latencies("Alice Moore", heard, REFERENCE, 1_000_000, 1000) == [650]


def test_percentiles_of_few_values():
    assert checks.percentiles([]) == {"p50": 0, "p95": 0, "p99": 0}
    assert checks.percentiles([7]) == {"p50": 7, "p95": 7, "p99": 7}
    assert checks.percentiles(list(range(101))) == {"p50": 50, "p95": 95, "p99": 99}


def test_a_claim_counts_only_with_the_words_it_quotes():
    said = segment(0, 1000, "I will send it.")
    sound = report_pb2.Claim(
        text="x", evidence=[report_pb2.Evidence(segment_id="s0", char_start=2, char_end=6, quote="will")]
    )
    false = report_pb2.Claim(
        text="x", evidence=[report_pb2.Evidence(segment_id="s0", char_start=2, char_end=6, quote="won't")]
    )
    bare = report_pb2.Claim(text="x")
    report = report_pb2.Report(key_moments=[sound], decisions=[false], risks=[bare])
    assert checks.claims_with_evidence(report, [said]) == (3, 1)


def summary(**changes: object) -> Summary:
    coverage = dict.fromkeys(checks.KINDS, 0) | {"transcribed": 4000, "silent": 6000}
    sound: dict[str, object] = {
        "call_seconds": 10.0,
        "participants": [
            ParticipantSummary("Alice Moore", "en", coverage, 0.0),
            ParticipantSummary("Ben Carter", "en", coverage, 0.0),
        ],
        "segments": 3,
        "engine": "demo",
        "model": "tiny-whisper",
        "final_latency_ms": {"p50": 1, "p95": 1, "p99": 1},
        "misattributed_words": 0,
        "claims": {"total": 1, "with_evidence": 1},
        "processes": {},
        "seconds": {},
    }
    return Summary(**(sound | changes))  # type: ignore[arg-type]


def test_a_sound_call_has_no_faults():
    assert summary().faults() == []


def test_a_second_that_is_missing_from_the_account_is_a_fault():
    short = dict.fromkeys(checks.KINDS, 0) | {"transcribed": 4000, "silent": 5000}
    alice, ben = summary().participants
    faults = summary(participants=[alice, ParticipantSummary("Ben Carter", "en", short, 0.0)]).faults()
    assert faults == ["Ben Carter: coverage adds up to 9000 ms, the call has 10000 ms"]
    assert alice.name != ben.name


def test_words_under_another_name_and_bare_claims_are_faults():
    assert summary(misattributed_words=2).faults() == ["2 words stand under another's name"]
    assert summary(claims={"total": 3, "with_evidence": 2}).faults() == ["1 claims have no evidence"]


def test_an_empty_transcript_is_a_fault():
    assert "nothing was transcribed" in summary(segments=0).faults()


def test_the_account_is_read_from_the_contract():
    account = transcript_pb2.ParticipantCoverage(coverage_ms=transcript_pb2.CoverageTotals(transcribed=1, lost=2))
    assert checks.coverage_ms(account) == dict.fromkeys(checks.KINDS, 0) | {"transcribed": 1, "lost": 2}
