"""WHIP: anything that can publish over WebRTC publishes to us; each publication is a participant of the meeting."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kit.ids import new_id
from kit.settings import Section
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.errors import OfferRejected, PublicationNotFound, PublicationsFull, SessionElsewhere
from services.connector.provider import (
    CallRefused,
    Capabilities,
    Heard,
    JoinSpec,
    ProviderKind,
    SourceListener,
    Surroundings,
    TrackWriter,
)
from services.connector.receive.receiver import OpusPacket
from services.connector.receive.voices import Voices
from services.connector.webrtc.answer import OfferUnusable, open_answered, usable_lines

log = logs.get()


class WhipSettings(Section):
    """Publishing to a meeting over WHIP."""

    model_config = SettingsConfigDict(env_prefix="WHIP_")

    max_publications: Annotated[int, Field(ge=1, le=256)] = 32
    """Publications to one meeting at a time."""


class WhipProvider:
    """Takes what is published to meetings; see `Provider`. A session of it waits until somebody publishes."""

    def __init__(self, settings: WhipSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._sources: dict[tuple[str, str], WhipSource] = {}

    def base(self, spec: JoinSpec) -> str:
        """Return nothing: publishers come to us, so there is no address that could fail."""
        return ""

    async def probe(self) -> None:
        """Do nothing: there is nobody to ask."""

    @asynccontextmanager
    async def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AsyncIterator["WhipSource"]:
        """Take publications to the meeting for the block."""
        if spec.meeting_url:
            raise CallRefused("publishers come to us: the meeting has no address of its own")
        key = (spec.tenant_id, spec.meeting_id)
        async with asyncio.TaskGroup() as tasks:
            voices = Voices(clock, tracks, listener, self._surroundings.patience, spec.withdrawn)
            source = WhipSource(self._settings, self._surroundings, voices, tasks)
            ticking = tasks.create_task(voices.tick(), name="connector.whip.tick")
            self._sources[key] = source
            voices.enter()
            try:
                yield source
            finally:
                if self._sources.get(key) is source:
                    del self._sources[key]
                source.close()
                ticking.cancel()

    def source(self, tenant_id: str, meeting_id: str) -> "WhipSource":
        """Return the source of a meeting whose session runs here.

        Raises:
            SessionElsewhere: it does not.
        """
        source = self._sources.get((tenant_id, meeting_id))
        if source is None:
            raise SessionElsewhere("publications to this meeting are not taken here", meeting_id=meeting_id)
        return source


class WhipSource:
    """Everybody who publishes to one meeting; see `Source` and `WhipProvider.open_source`."""

    def __init__(
        self, settings: WhipSettings, surroundings: Surroundings, voices: Voices, tasks: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._voices = voices
        self._tasks = tasks
        self._context = contextvars.copy_context()
        self._publications: dict[str, asyncio.Task[None]] = {}

    @property
    def participants(self) -> Sequence[Heard]:
        """Who publishes now."""
        return self._voices.participants

    async def over(self) -> str:
        """Wait until nobody publishes any more."""
        return await self._voices.over()

    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on."""
        return self._voices.withdraw(participant_id)

    def finish(self) -> int:
        """Close every track at one common sample; nothing is written after this."""
        return self._voices.finish()

    def abandon(self) -> None:
        """Write nothing more and leave every track open."""
        self._voices.abandon()

    async def publish(self, offer_sdp: str, display_name: str) -> tuple[str, str]:
        """Take a publication.

        Args:
            offer_sdp: the offer, with every candidate in it and one audio line that sends.
            display_name: of the publisher, empty if nobody said.

        Returns:
            The publication's identifier, by which the participant goes too, and the answer.

        Raises:
            OfferRejected: the offer cannot be answered.
            PublicationsFull: there are too many already.
            PublicationNotFound: the session ended before there was an answer.
        """
        if len(self._publications) >= self._settings.max_publications:
            raise PublicationsFull(limit=self._settings.max_publications)
        try:
            lines = usable_lines(offer_sdp)
        except OfferUnusable as error:
            raise OfferRejected(str(error), detail=str(error)) from error
        if sum(line.sends for line in lines) > 1:
            raise OfferRejected("it sends more than one audio line: publish each by itself", detail="audio lines")
        publication_id = new_id()
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # In the session's context, not in that of the call that brought the offer.
        running = self._tasks.create_task(
            self._hold(publication_id, offer_sdp, display_name, answer),
            name="connector.whip.publication",
            context=self._context.copy(),
        )
        self._publications[publication_id] = running
        running.add_done_callback(lambda _: self._publications.pop(publication_id, None))
        running.add_done_callback(lambda _: answer.cancel())
        answer.add_done_callback(lambda _: answer.cancelled() or answer.exception())  # whoever asked may be gone
        try:
            await asyncio.wait({answer})
        except asyncio.CancelledError:
            running.cancel()
            raise
        if answer.cancelled():  # the session ended meanwhile
            raise PublicationNotFound(publication_id=publication_id)
        return publication_id, answer.result()

    def unpublish(self, publication_id: str) -> None:
        """End a publication.

        Raises:
            PublicationNotFound: there is none of this id, or no longer.
        """
        running = self._publications.get(publication_id)
        if running is None:
            raise PublicationNotFound(publication_id=publication_id)
        running.cancel()

    def close(self) -> None:
        """End every publication."""
        for running in self._publications.values():
            running.cancel()

    async def _hold(self, publication_id: str, offer_sdp: str, name: str, answer: asyncio.Future[str]) -> None:
        """Receive one publication until its publisher is gone; who never connected was never there."""

        def changed(state: str) -> None:
            if state == "connected":
                self._voices.admit(publication_id, name)
                self._voices.start()

        receive = partial(self._receive, publication_id)
        try:
            async with open_answered(
                offer_sdp, self._surroundings.ice, on_packet=receive, on_state=changed
            ) as answered:
                if not answer.done():
                    answer.set_result(answered.sdp)
                log.info("publication_over", publication_id=publication_id, reason=await answered.over())
        except OfferUnusable as error:
            if not answer.done():
                answer.set_exception(OfferRejected(str(error), detail=str(error)))
        finally:
            self._voices.dismiss(publication_id)

    def _receive(self, publication_id: str, mid: str, packet: OpusPacket) -> None:
        self._voices.receive(publication_id, packet)


KIND = ProviderKind(
    name="whip",
    summary="whoever publishes to us over WHIP",
    address_form="empty: publishers come to /v1/meetings/ID/whip of the gateway",
    capabilities=Capabilities(own_tracks=True, mute_signals=False),
    make=WhipProvider,
    settings=WhipSettings,
)
