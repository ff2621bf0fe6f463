"""Which engines there are: our own and those that installed packages add under the entry point group."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from services.stt.engines.engine import EngineFactory, SpeechEngine
from services.stt.errors import EngineNotReady
from services.stt.settings import SttSettings

ENTRY_POINT_GROUP = "interview_agent.speech_engines"
AUTO = "auto"

_BUILT_IN = {
    "faster_whisper": "services.stt.engines.faster_whisper",
    "demo": "services.stt.engines.demo",
    "mock": "services.stt.engines.mock",
}
# `auto` never means an engine that invents speech: real models only, and a clear sentence when there is none.
_AUTO_ENGINE = "faster_whisper"


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One installed engine, not loaded."""

    name: str
    note: str


_NOTES = {
    "faster_whisper": "Whisper models; also what `auto` uses",
    "demo": "demonstration model of 200 words for synthetic voices; invents text for human speech",
    "mock": "says sentences of a script; for load tests",
}


def installed_engines() -> list[EngineEntry]:
    """List the engines that STT_PROVIDER may name, ours first."""
    added = sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)} - _BUILT_IN.keys())
    return [EngineEntry(name, _NOTES.get(name, "")) for name in (*_BUILT_IN, *added)]


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[SpeechEngine]:
    """Load the engine that STT_PROVIDER names and warm it up.

    Raises:
        EngineNotReady: there is no such engine, or its model cannot be had.
    """
    name = _AUTO_ENGINE if settings.provider == AUTO else settings.provider
    async with _factory(name)(settings) as engine:
        yield engine


def _factory(name: str) -> EngineFactory:
    if name in _BUILT_IN:
        # Ours by module, so that a clone on the path works without being installed.
        return cast("EngineFactory", import_module(_BUILT_IN[name]).open_engine)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast("EngineFactory", point.load())
    known = ", ".join([AUTO, *(entry.name for entry in installed_engines())])
    raise EngineNotReady(f"STT_PROVIDER={name}: there is no such speech engine; there are {known}")
