"""What a caller of the stt room can act on.

InvalidArgument      StreamProtocolBroken, LanguageUnknown, MessageTooLarge, AudioUndecodable
OutOfRange           AudioNotContiguous
ResourceExhausted    RecognizerBusy
AppError             StreamAbandoned
StartError           EngineNotReady: the room does not start
"""

import grpc

from kit.errors import AppError, InvalidArgument, OutOfRange, ResourceExhausted
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
    """Every stream this replica takes is open; try another replica or later."""

    reason = "ERROR_REASON_RECOGNIZER_BUSY"
    retry_after_seconds = 5.0


class EngineNotReady(StartError):
    """The speech engine cannot be loaded; the sentence says what to do."""
