"""What a caller of the stt room can act on.

InvalidArgument      StreamProtocolBroken, LanguageUnknown, MessageTooLarge, AudioUndecodable, RecordingTooLong
OutOfRange           AudioNotContiguous
FailedPrecondition   RecognitionOff, RecordingsOff
ResourceExhausted    RecognizerBusy
Unavailable          EngineFailed
                     └── WindowRefused
AppError             StreamAbandoned
StartError           EngineNotReady: the room does not start
"""

import grpc

from kit.errors import AppError, FailedPrecondition, InvalidArgument, OutOfRange, ResourceExhausted, Unavailable
from kit.lifecycle import StartError


class StreamProtocolBroken(InvalidArgument):
    """A message of the stream came out of order."""

    reason = "ERROR_REASON_STREAM_PROTOCOL"

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}", expected=expected, got=got)


class StreamAbandoned(AppError):
    """The stream closed without `end`: nothing was finished; open again from the last decided sample."""

    code = grpc.StatusCode.CANCELLED
    reason = "ERROR_REASON_STREAM_PROTOCOL"

    def __init__(self) -> None:
        super().__init__(expected="end", got="nothing")


class AudioNotContiguous(OutOfRange):
    """Audio does not follow on from what came before."""

    reason = "ERROR_REASON_SAMPLE_GAP"

    def __init__(self, expected: int, got: int) -> None:
        kind = (
            f"samples {expected} to {got} are missing" if got > expected else f"samples {got} to {expected} came twice"
        )
        super().__init__(kind, expected=expected, got=got)


class AudioUndecodable(InvalidArgument):
    """The bytes are not signed 16-bit mono samples."""

    reason = "ERROR_REASON_AUDIO_UNDECODABLE"


class MessageTooLarge(InvalidArgument):
    """A message holds more audio than the contract allows."""

    reason = "ERROR_REASON_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(f"at most {limit} bytes of audio fit one message", limit=limit)


class LanguageUnknown(InvalidArgument):
    """The engine does not know the language."""

    reason = "ERROR_REASON_LANGUAGE_UNKNOWN"

    def __init__(self, language: str, engine: str) -> None:
        super().__init__(f"{engine} does not know the language {language!r}", language=language, engine=engine)


class RecognizerBusy(ResourceExhausted):
    """This replica carries as many streams as it can; another one, or this one later, takes yours."""

    reason = "ERROR_REASON_RECOGNIZER_BUSY"
    retry_after_seconds = 5.0


class RecordingTooLong(InvalidArgument):
    """The recording is longer than this room takes."""

    reason = "ERROR_REASON_TOO_LARGE"

    def __init__(self, minutes: int) -> None:
        super().__init__(f"recordings of at most {minutes} min are taken (STT_MAX_FILE_MINUTES)", limit=minutes)


class RecordingsOff(FailedPrecondition):
    """Recordings are not recognised here: STT_MAX_FILE_MINUTES=0."""

    reason = "ERROR_REASON_ENGINE_UNAVAILABLE"


class RecognitionOff(FailedPrecondition):
    """Nothing is recognised here; the message says what is missing."""

    reason = "ERROR_REASON_ENGINE_UNAVAILABLE"


class EngineFailed(Unavailable):
    """No speech engine can decode now; open again from the last decided sample."""

    reason = "ERROR_REASON_ENGINE_UNAVAILABLE"


class WindowRefused(EngineFailed):
    """The engine is well but will not have this sound: another engine may, asking again does not help."""


class EngineNotReady(StartError):
    """The speech engine cannot be loaded; the sentence says what to do."""
