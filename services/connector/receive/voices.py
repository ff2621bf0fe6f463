"""Voices: everybody heard in one call, on one timeline, from its first sample to its last."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kit.clock import monotonic
from kit.names import shown_name, told_apart
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import Basis, Heard, Patience, SourceListener, SourceLost, TrackWriter
from services.connector.receive.participant import Participant
from services.connector.receive.receiver import OpusPacket
from services.connector.spans import samples_of

TICK_SECONDS = 0.1
NOBODY_SECONDS = 1.0
FIRST_MEDIA_SECONDS = 10.0
DEGRADED_SAMPLES = samples_of(2.0)
_HELD_UP_SECONDS = 0.4

log = logs.get()


class Voices:
    """What every source of live packets does alike: it opens tracks, lets time pass on them, and notices the end.

    Sample 0 is when the first media arrives, or a little after the recorder entered if none does. Call `tick` in a task
    for as long as the source lives.

    Args:
        clock: the session's; started here.
        tracks: where spans are written.
        listener: is told how the call goes.
        patience: how long an empty call is waited in.
        withdrawn: who had withdrawn from the recording before; they are recorded once they consent again.
    """

    def __init__(
        self,
        clock: SessionClock,
        tracks: TrackWriter,
        listener: SourceListener,
        patience: Patience,
        withdrawn: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._tracks = tracks
        self._listener = listener
        self._patience = patience
        self._voices: dict[str, _Voice] = {}
        self._withdrawn = set(withdrawn)
        self._resumed = clock.started
        self._unnamed = 0
        self._finished = False
        self._away = False
        self._degraded = False
        self._entered_at: float | None = None
        self._empty_since: float | None = None
        self._last_end = 0
        self._somebody_came = False
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._over.add_done_callback(lambda over: over.cancelled() or over.exception())

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call now."""
        return [
            voice.participant.heard
            if voice.participant
            else Heard(voice_id, voice.name, voice.muted, 0.0, voice.basis, voice_id in self._withdrawn)
            for voice_id, voice in self._voices.items()
        ]

    @property
    def entered(self) -> bool:
        """Whether the recorder was in the call at any time."""
        return self._entered_at is not None

    @property
    def finished(self) -> bool:
        """Whether nothing is written any more."""
        return self._finished

    def __contains__(self, voice_id: str) -> bool:
        return voice_id in self._voices

    def enter(self) -> None:
        """The recorder is in the call, for the first time or again."""
        self._away = False
        if self._entered_at is None:
            self._entered_at = monotonic()
            self._listener.entered()
        elif self._clock.started:
            self._degraded = False
            self._listener.recovered()

    def away(self, reason: str) -> None:
        """The recorder has lost the call's signalling and is coming back; audio may go on meanwhile."""
        self._away = True
        if self._entered_at is not None:
            self._listener.reconnecting(reason)

    def admit(self, voice_id: str, name: str, basis: Basis = Basis.OWN_TRACK, *, muted: bool = False) -> None:
        """Somebody is in the call. Without a name they are "Speaker 2", and known by guess only.

        Two of a name are told apart by a number.
        """
        if self._finished or voice_id in self._voices:
            return
        self._somebody_came = True
        name = shown_name(name)
        if not name or basis is Basis.GUESS:
            self._unnamed += 1
            name, basis = f"Speaker {self._unnamed}", Basis.GUESS
        name = told_apart(name, frozenset(other.name for other in self._voices.values()))
        voice = self._voices[voice_id] = _Voice(name, basis, muted)
        if self._clock.started:
            self._open_track(voice_id, voice, self._clock.sample())
        log.info("participant_joined", participant_id=voice_id, basis=basis.value)

    def mute(self, voice_id: str, muted: bool) -> None:
        """Somebody's microphone is off or on."""
        voice = self._voices.get(voice_id)
        if voice:
            voice.muted = muted
            if voice.participant:
                voice.participant.mute(muted)

    def receive(self, voice_id: str, packet: OpusPacket) -> None:
        """Take one packet of somebody's."""
        if not self._clock.started:
            self.start()
        voice = self._voices.get(voice_id)
        if voice and voice.participant:
            voice.participant.receive(packet)

    def dismiss(self, voice_id: str) -> None:
        """Somebody has left."""
        voice = self._voices.pop(voice_id, None)
        if voice is None:
            return
        if voice.participant:
            self._last_end = max(self._last_end, voice.participant.end(self._clock.sample()))
        log.info("participant_left", participant_id=voice_id)

    def start(self) -> None:
        """Make this moment sample 0, unless it is past; whoever is here has a track from it on."""
        if self._clock.started or self._finished:
            return
        self._clock.start()
        self._listener.live()
        for voice_id, voice in self._voices.items():
            self._open_track(voice_id, voice, 0)

    async def tick(self) -> None:
        """Let time pass on the tracks, and notice what only time tells; until cancelled."""
        while True:
            before = monotonic()
            await asyncio.sleep(TICK_SECONDS)
            held_up = monotonic() - before > _HELD_UP_SECONDS
            if self._finished or self._entered_at is None or held_up:
                continue  # after being held up the process first reads what has arrived meanwhile
            self._start_by_time(self._entered_at)
            for voice in self._voices.values():
                if voice.participant:
                    voice.participant.poll()
            self._judge()
            self._notice_empty()

    async def over(self) -> str:
        """Wait until the call is over; returns why.

        Raises:
            SourceLost: it was lost.
        """
        return await asyncio.shield(self._over)

    def end(self, reason: str) -> None:
        """The call is over."""
        if not self._over.done():
            self._over.set_result(reason)

    def lose(self, lost: SourceLost) -> None:
        """The call is lost for good."""
        if not self._over.done():
            self._over.set_exception(lost)

    def finish(self) -> int:
        """Close every track at one common sample and return it; nothing is written after this."""
        self._finished = True
        heard = [voice.participant for voice in self._voices.values() if voice.participant]
        for participant in heard:
            participant.flush()
        end = max([self._last_end, *(participant.position for participant in heard)])
        if heard or not self._somebody_came:
            end = max(end, self._clock.sample())
        for participant in heard:
            participant.end(end)
        for voice in self._voices.values():
            voice.participant = None
        return end

    def withdraw(self, voice_id: str) -> bool:
        """Stop recording somebody from this moment on; returns whether there is anybody of this id.

        They stay withdrawn when they leave and come back under the same id.
        """
        voice = self._voices.get(voice_id)
        if voice is None:
            return False
        if voice_id not in self._withdrawn:
            self._withdrawn.add(voice_id)
            if voice.participant:
                voice.participant.withdraw()
            self._listener.withdrew(voice_id)
            log.info("participant_withdrew", participant_id=voice_id)
        return True

    def withdrawn(self, voice_id: str) -> bool:
        """Return whether somebody has withdrawn from the recording."""
        return voice_id in self._withdrawn

    def consent(self, voice_id: str) -> None:
        """Somebody who had withdrawn is recorded again from this moment on."""
        voice = self._voices.get(voice_id)
        if voice is None or voice_id not in self._withdrawn:
            return
        self._withdrawn.discard(voice_id)
        if voice.participant:
            voice.participant.consent()
        self._listener.consented(voice_id)
        log.info("participant_consented", participant_id=voice_id)

    def abandon(self) -> None:
        """Write nothing more and leave every track open."""
        for voice in self._voices.values():
            if voice.participant:
                voice.participant.flush()
                voice.participant = None
        self._finished = True

    def _start_by_time(self, entered_at: float) -> None:
        if monotonic() - entered_at > (FIRST_MEDIA_SECONDS if self._voices else NOBODY_SECONDS):
            self.start()

    def _open_track(self, voice_id: str, voice: "_Voice", start_sample: int) -> None:
        voice.participant = Participant(
            voice_id, voice.name, voice.basis, self._tracks, self._clock.sample, start_sample
        )
        if self._resumed and self._entered_at is not None and monotonic() - self._entered_at < NOBODY_SECONDS:
            voice.participant.missed()  # whoever is here when the recorder comes back
        voice.participant.mute(voice.muted)
        if voice_id in self._withdrawn:
            voice.participant.withdraw()

    def _judge(self) -> None:
        if not self._clock.started or self._away:
            return
        quiet = any(
            voice.participant.quiet_samples > DEGRADED_SAMPLES for voice in self._voices.values() if voice.participant
        )
        if quiet and not self._degraded:
            self._listener.degraded("a participant who is not muted has sent nothing for 2 s")
        elif self._degraded and not quiet:
            self._listener.recovered()
        self._degraded = quiet

    def _notice_empty(self) -> None:
        if self._voices:
            self._empty_since = None
            return
        moment = monotonic()
        if self._empty_since is None:
            self._empty_since = moment
        patience = self._patience.empty_room if self._somebody_came else self._patience.first_person
        if moment - self._empty_since >= patience:
            self.end("everyone has left" if self._somebody_came else "nobody came")


@dataclass(slots=True)
class _Voice:
    name: str
    basis: Basis
    muted: bool
    participant: Participant | None = None
