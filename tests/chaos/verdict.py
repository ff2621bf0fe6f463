"""The verdict on a call: what the mesh has of it, against what its client sent and what the undisturbed run gave."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from rapidfuzz.distance import Levenshtein

from examples.interview.interview import SAMPLE_RATE_HERTZ
from examples.interview.words import normalise
from tests.chaos.calls.call import Call
from tests.chaos.evidence import Evidence, Said


@dataclass
class Verdict:
    """What is wrong with one call; all zero and `findings` empty when nothing is."""

    call: Call
    duplicates: int = 0
    """Segments that are there and should not be."""
    holes: int = 0
    """Segments that should be there, stretches of acknowledged audio that are not in the recording, and missing
    ordinals."""
    wrong_words: int = 0
    """Words of segments that say or span something else; one at least for each such segment."""
    lost_ms: int = 0
    last_words_present: bool = True
    jobs_twice: int = 0
    miscounted: int = 0
    """Participants whose coverage does not add up, is not decided, or is not the undisturbed run's."""
    broken: bool = False
    """Whether the call was refused or is not through."""
    findings: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything is as it was without faults."""
        return not self.findings


def judge(call: Call, found: Evidence, expected: Evidence) -> Verdict:
    """Compare one call with the undisturbed run of the same audio through the same door.

    Of a call that broke, what was acknowledged before must be there all the same.
    """
    verdict = Verdict(call)
    _check_end(verdict, found)
    _compare_text(verdict, found, expected)
    _compare_audio(verdict, found)
    _compare_coverage(verdict, found, expected)
    if call.acknowledged and (found.reports, found.artifacts) != (expected.reports, expected.artifacts):
        verdict.broken = True
        verdict.findings.append(f"{found.reports} reports with {found.artifacts} files, should be {expected.artifacts}")
    _check_jobs(verdict, found)
    return verdict


def witness(call: Call, found: Evidence) -> Verdict:
    """Judge a call of which the mesh may have lost some: it is through, adds up, and holds nothing twice."""
    verdict = Verdict(call)
    _check_end(verdict, found)
    _check_ordinals(verdict, found)
    for one, other in itertools.pairwise(sorted(found.said)):
        if _overlap(one, other):
            verdict.duplicates += 1
            verdict.findings.append(f"duplicate: {_shown(one)} and {_shown(other)}")
    for name, sums in found.coverage_ms.items():
        if sums.get("pending") or sum(sums.values()) != found.duration_ms:
            verdict.miscounted += 1
            verdict.findings.append(f"coverage of {name}: {sums} of {found.duration_ms} ms")
    _check_jobs(verdict, found)
    return verdict


def _check_end(verdict: Verdict, found: Evidence) -> None:
    if verdict.call.problem:
        verdict.broken = True
        verdict.findings.append(f"broken: {verdict.call.problem}")
    if (found.state, found.report_state) != ("finished", "ready"):
        verdict.broken = True
        verdict.findings.append(f"not through: the meeting is {found.state}, its report {found.report_state}")


def _check_ordinals(verdict: Verdict, found: Evidence) -> None:
    if list(found.ordinals) != list(range(1, len(found.ordinals) + 1)):
        verdict.holes += 1
        verdict.findings.append(f"ordinals with holes: {list(found.ordinals)}")


def _check_jobs(verdict: Verdict, found: Evidence) -> None:
    verdict.jobs_twice = found.jobs_twice
    if found.jobs_twice:
        verdict.findings.append(f"{found.jobs_twice} effects of jobs happened twice")


def _compare_text(verdict: Verdict, found: Evidence, expected: Evidence) -> None:
    promised = {name: len(verdict.call.sent(name)) for name in verdict.call.sample.tracks}
    due = [one for one in expected.said if one.end_sample <= promised[one.participant_id] or verdict.call.acknowledged]
    missing = sorted(set(due) - set(found.said))
    extra = sorted(set(found.said) - set(expected.said))
    repeated = len(found.said) - len(set(found.said))
    for one in missing:
        instead = [other for other in extra if _overlap(one, other)]
        if not instead:
            verdict.holes += 1
            verdict.findings.append(f"hole: {_shown(one)}")
            continue
        extra.remove(instead[0])
        verdict.wrong_words += max(1, Levenshtein.distance(_words(one), _words(instead[0])))
        verdict.findings.append(f"wrong: {_shown(instead[0])} instead of {_shown(one)}")
    if not verdict.call.acknowledged:  # its last words were cut off wherever the client gave up
        extra = [one for one in extra if one.end_sample <= promised[one.participant_id]]
    verdict.findings += [f"duplicate: {_shown(one)}" for one in extra]
    verdict.duplicates = len(extra) + repeated
    if repeated:
        verdict.findings.append(f"{repeated} segments stand there twice")
    _check_ordinals(verdict, found)
    for last in _last_words(due):
        if last not in found.said:
            verdict.last_words_present = False


def _compare_audio(verdict: Verdict, found: Evidence) -> None:
    """Whatever was acknowledged is in the recording, sample by sample; of a whole call nothing else is."""
    call = verdict.call
    for name in call.sample.tracks:
        sent = call.sent(name)
        sealed = found.recordings.get(name, sent[:0])
        common = min(len(sealed), len(sent))
        wrong = np.flatnonzero(sealed[:common] != sent[:common])
        if len(wrong) or len(sealed) < len(sent) or (call.acknowledged and len(sealed) > len(sent)):
            verdict.holes += 1
            first = int(wrong[0]) if len(wrong) else common
            verdict.findings.append(
                f"the recording of {name} differs from what was acknowledged: {len(wrong)} samples, the first at "
                f"{first / SAMPLE_RATE_HERTZ:.3f} s; {len(sealed)} samples of {len(sent)}"
            )


def _compare_coverage(verdict: Verdict, found: Evidence, expected: Evidence) -> None:
    for name in verdict.call.sample.tracks:
        sums, wanted = dict(found.coverage_ms.get(name, {})), expected.coverage_ms.get(name, {})
        lost = sums.get("lost", 0) if verdict.call.acknowledged else 0
        verdict.lost_ms += lost
        if lost:
            verdict.findings.append(f"{lost} ms of {name} are called lost")
        adds_up = not sums.get("pending") and (not sums or sum(sums.values()) == found.duration_ms)
        if not adds_up or (verdict.call.acknowledged and sums != wanted):
            verdict.miscounted += 1
            verdict.findings.append(f"coverage of {name}: {sums} of {found.duration_ms} ms, should be {wanted}")


def _last_words(said: Sequence[Said]) -> list[Said]:
    by_participant = itertools.groupby(sorted(said), key=lambda one: one.participant_id)
    return [max(group, key=lambda one: one.end_sample) for _, group in by_participant]


def _overlap(one: Said, other: Said) -> bool:
    return (
        one.participant_id == other.participant_id
        and one.start_sample < other.end_sample
        and other.start_sample < one.end_sample
    )


def _words(said: Said) -> list[str]:
    return normalise(said.text).split()


def _shown(said: Said) -> str:
    return f"{said.participant_id} [{said.start_sample}, {said.end_sample}) {said.text!r}"
