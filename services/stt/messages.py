"""The recogniser's values as messages of the contract."""

from agent.common.v1 import transcript_pb2
from agent.stt.v1 import stt_service_pb2 as pb
from services.stt.audio import SAMPLE_RATE_HERTZ, milliseconds_of
from services.stt.engines.engine import HeardWord
from services.stt.recogniser import Decided, Event, FinalText, Finished, InterimText, SpeechEnded, SpeechStarted


def streaming_response(event: Event) -> pb.StreamingRecognizeResponse:
    """Return what a stream's client is told about an event; the cursor's `received_sample` is left to the caller."""
    match event:
        case SpeechStarted(start_sample=start):
            return pb.StreamingRecognizeResponse(speech_started=pb.SpeechStarted(start_sample=start))
        case SpeechEnded(end_sample=end):
            return pb.StreamingRecognizeResponse(speech_ended=pb.SpeechEnded(end_sample=end))
        case InterimText():
            return pb.StreamingRecognizeResponse(interim=interim(event))
        case FinalText():
            return pb.StreamingRecognizeResponse(final=final(event))
        case Decided(decided_sample=decided):
            return pb.StreamingRecognizeResponse(cursor=pb.RecognizeCursor(decided_sample=decided))
        case Finished():
            return pb.StreamingRecognizeResponse(finished=finished(event))


def interim(event: InterimText) -> pb.Interim:
    """Return the text so far."""
    return pb.Interim(
        start_sample=event.start_sample,
        end_sample=event.end_sample,
        stable_text=event.stable,
        unstable_text=event.unstable,
        language=event.language,
    )


def final(event: FinalText) -> pb.Final:
    """Return an utterance's text, its words on the meeting's timeline."""
    hypothesis = event.hypothesis
    return pb.Final(
        start_sample=event.start_sample,
        end_sample=event.end_sample,
        text=hypothesis.text,
        words=[_word(word, event) for word in hypothesis.words],
        language=hypothesis.language,
        confidence=hypothesis.confidence,
        engine=hypothesis.engine,
        model=hypothesis.model,
        decided_sample=event.decided_sample,
        pinned_language=event.pinned_language,
        cost_usd=event.cost_usd,
    )


def finished(event: Finished) -> pb.RecognizeFinished:
    """Return the last message of a stream."""
    return pb.RecognizeFinished(decided_sample=event.decided_sample, finals=event.finals, cost_usd=event.cost_usd)


def _word(word: HeardWord, event: FinalText) -> transcript_pb2.Word:
    return transcript_pb2.Word(
        text=word.text,
        start_ms=_on_timeline(word.start_seconds, event),
        end_ms=_on_timeline(word.end_seconds, event),
        confidence=word.probability,
    )


def _on_timeline(seconds: float, event: FinalText) -> int:
    sample = event.start_sample + round(seconds * SAMPLE_RATE_HERTZ)
    # Word times are guesses of the model; they must not leave what was decided.
    return milliseconds_of(min(max(sample, event.start_sample), event.decided_sample))
