"""Which engines there are: our own and those that installed packages add under the entry point group."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from kit.telemetry import logs
from services.stt.engines.breaker import Breaker
from services.stt.engines.chain import EngineChain, Link
from services.stt.engines.engine import Capabilities, EngineFactory
from services.stt.errors import EngineNotReady, RecognitionOff
from services.stt.settings import SttSettings

ENTRY_POINT_GROUP = "interview_agent.speech_engines"
AUTO = "auto"

_BUILT_IN = {
    "faster_whisper": "services.stt.engines.faster_whisper",
    "openai_http": "services.stt.engines.openai_http",
    "pocketsphinx": "services.stt.engines.pocketsphinx",
    "demo": "services.stt.engines.demo",
    "mock": "services.stt.engines.mock",
}
# `auto` never means an engine that invents speech: real models only, and a clear sentence when there is none.
_AUTO_ENGINE = "faster_whisper"
_INVENTING = frozenset({"demo", "mock"})

log = logs.get()


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One installed engine, not loaded."""

    name: str
    note: str


_NOTES = {
    "faster_whisper": "Whisper models; also what `auto` uses",
    "openai_http": "any transcription service with OpenAI's interface; sound leaves this machine",
    "pocketsphinx": "low accuracy, English only; proves the path without a download",
    "demo": "demonstration model of 200 words for synthetic voices; invents text for human speech",
    "mock": "says sentences of a script; for load tests",
}


def installed_engines() -> list[EngineEntry]:
    """List the engines that STT_PROVIDER may name, ours first."""
    added = sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)} - _BUILT_IN.keys())
    return [EngineEntry(name, _NOTES.get(name, "")) for name in (*_BUILT_IN, *added)]


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[EngineChain]:
    """Load the engines that STT_PROVIDER names and warm them up; an engine without its key is left out.

    Raises:
        EngineNotReady: there is no such engine, its model cannot be had, or it must not stand in a chain.
    """
    names = list(dict.fromkeys(_AUTO_ENGINE if name == AUTO else name for name in settings.provider))
    _refuse_inventing([name for name in names if name in _INVENTING], names)
    factories = [_factory(name) for name in names]
    links: list[Link] = []
    off = ""
    async with AsyncExitStack() as stack:
        for name, factory in zip(names, factories, strict=True):
            try:
                engine = await stack.enter_async_context(factory(settings))
            except RecognitionOff as missing:
                off = f"STT_PROVIDER={name}: {missing}"
                log.warning("engine_left_out", engine=name, why=str(missing))
                continue
            breaker = Breaker(threshold=settings.breaker_failures, rest_seconds=settings.breaker_rest_seconds)
            links.append(Link(engine, breaker))
        chain = EngineChain(links, off="" if links else off)
        _refuse_inventing([link.name for link in links if _invents(link.engine.capabilities)], names)
        yield chain


def _invents(capabilities: Capabilities) -> bool:
    return capabilities.invents or capabilities.engine in _INVENTING


def _refuse_inventing(inventing: Sequence[str], names: Sequence[str]) -> None:
    if inventing and len(names) > 1:
        raise EngineNotReady(
            f"STT_PROVIDER={','.join(names)}: {inventing[0]} says what nobody said, so it cannot stand in for another "
            "engine; leave it out, or name it alone"
        )


def _factory(name: str) -> EngineFactory:
    if name in _BUILT_IN:
        # Ours by module, so that a clone on the path works without being installed.
        return cast("EngineFactory", import_module(_BUILT_IN[name]).open_engine)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast("EngineFactory", point.load())
    known = ", ".join([AUTO, *(entry.name for entry in installed_engines())])
    raise EngineNotReady(f"STT_PROVIDER={name}: there is no such speech engine; there are {known}")
