"""The engines of the room in the order in which an utterance is offered to them, each behind a breaker.

A window that one engine fails is decoded by the next, and its hypothesis says who decoded it. Where an utterance
begins and ends does not depend on the engine, so a replay cuts as before even when another engine reads it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.errors import Unavailable
from kit.telemetry import logs
from services.stt import metrics
from services.stt.engines.belief import believed
from services.stt.engines.breaker import Breaker
from services.stt.engines.engine import Capabilities, Hypothesis, Mode, SpeechEngine, Window
from services.stt.errors import EngineFailed, RecognitionOff, WindowRefused

log = logs.get()

_LONGEST_ASKED_REST_SECONDS = 300.0
"""However long a service asks to be left alone, it is tried again after this."""


@dataclass(frozen=True, slots=True)
class Link:
    """One engine of the chain."""

    engine: SpeechEngine
    breaker: Breaker

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.capabilities.engine

    def takes(self, window: Window) -> bool:
        """Whether the engine knows the window's language, and does interims if it is one."""
        capabilities = self.engine.capabilities
        known = capabilities.languages
        speaks = window.language is None or known is None or window.language in known
        return speaks and (capabilities.interims or window.mode is Mode.FINAL)


class EngineChain:
    """A speech engine made of others; none at all when recognition is off.

    One engine of our own has no breaker in its way: there is nothing else to turn to, and it is never "away".
    """

    def __init__(self, links: Sequence[Link], *, off: str = "") -> None:
        self._links = tuple(links)
        self.off = off
        """Why nothing is recognised; empty when all is well."""

    @property
    def members(self) -> tuple[Capabilities, ...]:
        """The engines, in order."""
        return tuple(link.engine.capabilities for link in self._links)

    @property
    def links(self) -> tuple[Link, ...]:
        """The engines that have a breaker, in order."""
        return () if self._is_alone else self._links

    @property
    def capabilities(self) -> Capabilities:
        """The first engine's, with the languages of all."""
        if not self._links:
            return Capabilities("none", "", frozenset(), word_times=False, punctuated=False, workers=1, note=self.off)
        first, *others = self.members
        known: frozenset[str] | None = first.languages
        for other in others:
            known = None if known is None or other.languages is None else known | other.languages
        return replace(first, languages=known)

    def warm_up(self) -> None:
        """Do nothing: every engine was warmed up when it was opened."""

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Offer the windows to one engine after another; an interim that none decodes has no text.

        A final that the engine which decoded it is not sure enough of has none either.

        Raises:
            EngineFailed: no engine decoded a final.
            RecognitionOff: there is no engine.
        """
        if not self._links:
            raise RecognitionOff(self.off)
        if self._is_alone:
            return _asked(self._links[0], windows)
        heard: dict[int, Hypothesis] = {}
        failure: Exception | None = None
        for link in self._links:
            asked = [number for number, window in enumerate(windows) if number not in heard and link.takes(window)]
            for batch in self._batches(link, asked, [windows[number] for number in asked]):
                if isinstance(batch, Exception):
                    failure = failure if isinstance(batch, _Resting) and failure else batch
                else:
                    heard |= batch
            if len(heard) == len(windows):
                break
        return [heard.get(number) or self._nothing(window, failure) for number, window in enumerate(windows)]

    @property
    def _is_alone(self) -> bool:
        return len(self._links) == 1 and not self._links[0].engine.capabilities.remote

    def _batches(
        self, link: Link, numbers: Sequence[int], windows: Sequence[Window]
    ) -> Sequence[dict[int, Hypothesis] | Exception]:
        """Ask one engine for these windows; a batch in which one is refused is asked for one by one."""
        if not windows:
            return []
        if not link.breaker.admit():
            return [_Resting(link.name, link.breaker.rest_seconds)]
        try:
            heard = _asked(link, windows)
        except WindowRefused as refused:
            link.breaker.succeeded()
            if len(windows) > 1:
                return [
                    part
                    for number, window in zip(numbers, windows, strict=True)
                    for part in self._batches(link, [number], [window])
                ]
            self._note(link, refused)
            return [refused]
        except Exception as error:
            # The edge to an engine, which may be anybody's: whatever it raises, the next one is asked.
            asked_rest = error.retry_after_seconds if isinstance(error, Unavailable) else None
            rest = min(asked_rest, _LONGEST_ASKED_REST_SECONDS) if asked_rest else None
            if link.breaker.failed(rest):
                metrics.BREAKERS_OPENED.labels(link.name).inc()
                log.warning("engine_resting", engine=link.name, seconds=round(link.breaker.rest_seconds))
            self._note(link, error)
            return [error]
        link.breaker.succeeded()
        return [dict(zip(numbers, heard, strict=True))]

    def _note(self, link: Link, error: Exception) -> None:
        metrics.ENGINE_FAILURES.labels(link.name).inc()
        log.warning("engine_failed", engine=link.name, why=str(error) or type(error).__name__)

    def _nothing(self, window: Window, failure: Exception | None) -> Hypothesis:
        """The hypothesis of an interim that nobody decoded.

        Raises:
            EngineFailed: it is a final.
        """
        if window.mode is Mode.FINAL:
            rests = [rest for link in self._links if (rest := link.breaker.rest_seconds) > 0]
            names = ", ".join(link.name for link in self._links)
            raise EngineFailed(
                f"no speech engine decoded this ({names}): {failure or 'none knows the language'}",
                retry_after_seconds=min(rests, default=None),
                engine=names,
            ) from failure
        first = self._links[0].engine.capabilities
        return Hypothesis(
            text="",
            words=(),
            avg_logprob=0.0,
            no_speech_prob=0.0,
            language=window.language or "",
            language_probability=0.0,
            engine=first.engine,
            model=first.model,
        )


def _asked(link: Link, windows: Sequence[Window]) -> list[Hypothesis]:
    capabilities = link.engine.capabilities
    near = capabilities.least_confidence
    far = max(near, capabilities.far_least_confidence)
    return [
        believed(hypothesis, far if window.far else near) if window.mode is Mode.FINAL else hypothesis
        for window, hypothesis in zip(windows, link.engine.decode(windows), strict=True)
    ]


class _Resting(Exception):
    """The engine was not asked: its breaker is open."""

    def __init__(self, engine: str, seconds: float) -> None:
        super().__init__(f"{engine} rests for {seconds:.0f} s after failures")
