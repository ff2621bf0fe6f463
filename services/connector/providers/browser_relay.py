"""The browser's tracks: what the page's script forwards, taken over a connection per track and given to voices.

Everything that comes from a page is somebody else's word: it is checked, and there is a bound to all of it.
"""

import asyncio
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kit.clock import monotonic
from kit.telemetry import logs
from services.connector.provider import Basis, SourceListener
from services.connector.receive.receiver import OpusPacket
from services.connector.receive.voices import Voices
from services.connector.webrtc.answer import OfferUnusable, open_answered
from services.connector.webrtc.ice import IceAccess

MOST_TRACKS = 64
MOST_FRAMES = 64
NEWS_SECONDS = 6.0
"""A frame that has said nothing for so long is gone; it says something every 2 s."""
_UNKNOWN = "browser-"
"""Begins the identifiers of voices of which the page says nothing; a new source gives new ones."""
_MOST_NAME_CHARACTERS = 64
_MOST_ID_CHARACTERS = 128

log = logs.get()


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks on a track, as the page says."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Calls:
    """The page's own connections."""

    open: int
    connected: int


@dataclass(slots=True)
class _Forward:
    """One track; `voice_id` is whose voice it is now."""

    id: str
    speaker: Speaker | None
    voice_id: str
    holding: asyncio.Task[None] | None = None


class Relay:
    """Takes what a page's script tells; `told` is its ear.

    Args:
        voices: where packets go.
        listener: is told who could see the recorder.
        tasks: run a connection each.
        withdrawn: who had withdrawn from the recording before.
    """

    def __init__(
        self, voices: Voices, listener: SourceListener, tasks: asyncio.TaskGroup, withdrawn: Collection[str] = ()
    ) -> None:
        self._voices = voices
        self._listener = listener
        self._tasks = tasks
        self._prefix = f"{_UNKNOWN}{secrets.token_hex(3)}"
        self._unknown = {voice_id for voice_id in withdrawn if voice_id.startswith(_UNKNOWN)}
        self._withdrawn_before = bool(self._unknown)
        self._forwards: dict[str, _Forward] = {}
        self._waiting: set[str] = set()
        self._frames: dict[str, tuple[float, Calls]] = {}
        self._closed = False

    @property
    def calls(self) -> Calls:
        """The connections of every frame that has said something lately."""
        oldest = monotonic() - NEWS_SECONDS
        lately = [calls for said_at, calls in self._frames.values() if said_at >= oldest]
        return Calls(sum(calls.open for calls in lately), sum(calls.connected for calls in lately))

    @property
    def silent_seconds(self) -> float:
        """Time since any frame said anything; a page whose scripts stand still says nothing."""
        return monotonic() - max((said_at for said_at, _ in self._frames.values()), default=monotonic())

    async def told(self, message: Any) -> str | None:
        """Take one message; the answer to an offer is an SDP, None if it cannot be taken."""
        match message:
            case {"type": "offer", "id": str() as forward_id, "sdp": str() as sdp, **more}:
                return await self._offered(forward_id, sdp, _speaker(more.get("speaker")))
            case {"type": "speaker", "id": str() as forward_id, "speaker": speaker}:
                self._renamed(forward_id, _speaker(speaker))
            case {"type": "ended", "id": str() as forward_id}:
                self._ended(forward_id)
            case {"type": "calls", "frame": str() as frame, "open": int() as opened, "connected": int() as connected}:
                self._counted(frame, Calls(max(0, opened), max(0, connected)))
        return None

    def interrupt(self) -> None:
        """The page is gone: its connections end, and its voices wait for a while to be heard again."""
        for forward in self._forwards.values():
            _stop(forward)
            self._waiting.add(forward.voice_id)
        self._forwards.clear()
        self._frames.clear()

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True
        self.interrupt()

    def settle(self) -> None:
        """The page is back and everybody in it has been met again: who is still missing has left."""
        for voice_id in self._waiting:
            self._voices.dismiss(voice_id)
        self._waiting.clear()

    async def _offered(self, forward_id: str, sdp: str, speaker: Speaker | None) -> str | None:
        if self._closed or self._voices.finished or len(forward_id) > _MOST_ID_CHARACTERS:
            return None
        forward = self._forwards.get(forward_id)
        new = forward is None
        if forward is None:
            if len(self._forwards) >= MOST_TRACKS:
                log.warning("browser_track_refused", tracks=len(self._forwards))
                return None
            forward = _Forward(forward_id, speaker, self._voice_for(speaker))
        _stop(forward)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        forward.holding = self._tasks.create_task(self._hold(forward, sdp, answer), name="connector.browser.track")
        forward.holding.add_done_callback(lambda _: _give_up(answer))
        self._forwards[forward_id] = forward
        sdp_answer = await answer
        if self._forwards.get(forward_id) is forward:
            if sdp_answer is not None:
                self._admit(forward)
            elif new:
                del self._forwards[forward_id]
        return sdp_answer

    async def _hold(self, forward: _Forward, sdp: str, answer: "asyncio.Future[str | None]") -> None:
        """Answer one offer and receive until the connection is gone; the page makes another if its track lives on."""

        def receive(mid: str, packet: OpusPacket) -> None:
            if self._forwards.get(forward.id) is forward:
                self._voices.receive(forward.voice_id, packet)

        def changed(state: str) -> None:
            if state == "connected":
                if not self._voices.entered:
                    self._voices.enter()  # whoever is heard is in the same call
                self._voices.start()

        try:
            async with open_answered(sdp, IceAccess(), on_packet=receive, on_state=changed) as answered:
                if not answer.done():
                    answer.set_result(answered.sdp)
                log.info("browser_track_ended", reason=await answered.over())
        except OfferUnusable as error:
            log.warning("browser_offer_unusable", reason=str(error))

    def _admit(self, forward: _Forward) -> None:
        voice_id = forward.voice_id
        self._waiting.discard(voice_id)
        if voice_id in self._voices:
            return
        in_doubt = voice_id in self._unknown and self._somebody_unknown_withdrew
        if forward.speaker is None:
            self._voices.admit(voice_id, "", Basis.GUESS)
        else:
            self._voices.admit(voice_id, forward.speaker.name, Basis.ROSTER)
        if in_doubt:
            self._voices.withdraw(voice_id)
        for heard in self._voices.participants:
            if heard.participant_id == voice_id:
                self._listener.told(voice_id, heard.display_name, "roster")

    @property
    def _somebody_unknown_withdrew(self) -> bool:
        """Whether a new voice may be somebody who withdrew and came back: in doubt it is not recorded."""
        return self._withdrawn_before or any(self._voices.withdrawn(voice_id) for voice_id in self._unknown)

    def _voice_for(self, speaker: Speaker | None) -> str:
        """Return whose voice a new track is: the speaker's again where the page knows them, else a new one."""
        if speaker is None or not speaker.id:
            voice_id = f"{self._prefix}-{len(self._unknown) + 1}"
            self._unknown.add(voice_id)
            return voice_id
        taken = {forward.voice_id for forward in self._forwards.values()}
        names = (speaker.id if number == 1 else f"{speaker.id}-{number}" for number in range(1, MOST_TRACKS + 2))
        return next(name for name in names if name not in taken)

    def _renamed(self, forward_id: str, speaker: Speaker | None) -> None:
        """Somebody else speaks on a track now, or it became known who does: another voice from this moment on."""
        forward = self._forwards.get(forward_id)
        if forward is None or forward.speaker == speaker:
            return
        withdrawn = self._voices.withdrawn(forward.voice_id)
        unknown = forward.voice_id in self._unknown
        self._voices.dismiss(forward.voice_id)
        forward.speaker = speaker
        forward.voice_id = ""
        forward.voice_id = self._voice_for(speaker)
        self._admit(forward)
        if withdrawn and unknown:
            self._voices.withdraw(forward.voice_id)

    def _ended(self, forward_id: str) -> None:
        forward = self._forwards.pop(forward_id, None)
        if forward is not None:
            _stop(forward)
            self._voices.dismiss(forward.voice_id)

    def _counted(self, frame: str, calls: Calls) -> None:
        oldest = monotonic() - NEWS_SECONDS
        self._frames = {name: news for name, news in self._frames.items() if news[0] >= oldest}
        if len(frame) <= _MOST_ID_CHARACTERS and (frame in self._frames or len(self._frames) < MOST_FRAMES):
            self._frames[frame] = monotonic(), calls


def _give_up(answer: "asyncio.Future[str | None]") -> None:
    """Answer that there is no answer; a task that was cancelled before its first step cannot say so by itself."""
    if not answer.done():
        answer.set_result(None)


def _stop(forward: _Forward) -> None:
    if forward.holding is not None:
        forward.holding.cancel()
        forward.holding = None


def _speaker(told: object) -> Speaker | None:
    if not isinstance(told, Mapping):
        return None
    name, speaker_id = told.get("name"), told.get("id")
    if not isinstance(name, str) or not name.strip():
        return None
    known = speaker_id if isinstance(speaker_id, str) and len(speaker_id) <= _MOST_ID_CHARACTERS else ""
    return Speaker(known, name.strip()[:_MOST_NAME_CHARACTERS])
