"""Publications from people who mean no good, or who die: offers of every kind, and a publisher who is gone at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from examples.callers.player import Player
from examples.callers.speech import speech_from_samples
from kit.ids import new_id
from services.connector.clock import SessionClock
from services.connector.errors import OfferRejected, PublicationNotFound
from services.connector.provider import JoinSpec, Patience, Surroundings
from services.connector.providers.whip import WhipProvider, WhipSettings, WhipSource
from services.connector.webrtc import aiortc_private
from tests.fakes.call_recording import CallRecording
from tests.fakes.whip_publisher import offer_of
from tests.integration.connector.harness import speech_like, until

QUIET = speech_from_samples(speech_like(0.5, 9))
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\n"
    "a=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
)
CANDIDATE = "a=candidate:1 1 udp 2130706431 {} 9 typ host\r\n"


@asynccontextmanager
async def taking_publications(recording: CallRecording) -> AsyncIterator[WhipSource]:
    provider = WhipProvider(WhipSettings(), Surroundings("", None, patience=Patience(empty_room=1.0)))
    async with provider.open_source(JoinSpec(new_id(), "acme"), SessionClock(), recording, recording) as source:
        yield source


@asynccontextmanager
async def offering() -> AsyncIterator[tuple[RTCPeerConnection, str]]:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    try:
        yield connection, await offer_of(connection, Player(QUIET))
    finally:
        await connection.close()


async def test_no_offer_holds_up_or_ends_the_session() -> None:
    recording = CallRecording()
    async with taking_publications(recording) as source, offering() as (connection, offer):
        keys = "".join(
            f"{line}\r\n" for line in offer.splitlines() if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))
        )
        session = offer[: offer.index("m=audio")]
        refused = {
            "": "not a session description",
            "v=0": "not a session description",
            "💥" * 1_000: "not a session description",
            session: "no fingerprint",
            offer + "a=x:" + "y" * 300_000: "longer than",
            offer + "".join(f"{VIDEO.format(number)}{keys}" for number in range(1, 200)): "more than 64 lines m=",
            offer + CANDIDATE.format("10.0.0.1") * 1_000: "more than 256 lines a=candidate:",
            offer + "a=ssrc:1 cname:x\r\n" * 9_000: "more than 1024 lines a=ssrc",
            offer + offer[offer.index("m=audio") :] * 40: "more than 32 audio lines",
            offer + offer[offer.index("m=audio") :]: "more than one audio line",
            f"{session}{VIDEO.format(0)}{keys}": "no audio line that sends",
            offer.replace("a=sendonly", "a=recvonly"): "no audio line that sends",
            offer.replace("a=fingerprint", "a=finger"): "no fingerprint",
            offer + "a=candidate:junk\r\n": "cannot be answered",
            offer + "a=ssrc:" + "9" * 5_000 + " cname:x\r\n": "cannot be answered",
            offer.replace("m=audio ", "m=audio \u0661"): "cannot be answered",
            offer.replace("a=ice-ufrag:", "a=ice-ufrag:\u202e\0"): "",
            offer.replace("a=mid:0", "a=mid:" + " " * 200_000 + "0"): "",
            offer + CANDIDATE.format("nowhere.invalid"): "",
            offer + CANDIDATE.format("999.1.1.1"): "",
        }
        for text, reason in refused.items():
            try:
                publication_id, _ = await source.publish(text, "\u202e💥\0" + "n" * 100_000)
            except OfferRejected as error:
                assert reason in str(error) or not reason, (reason, str(error))  # noqa: PT017 - either will do for some
            else:
                assert not reason, reason
                source.unpublish(publication_id)
        assert list(source.participants) == []  # who never connected was never there
        with pytest.raises(PublicationNotFound):
            source.unpublish("nobody's")
        _, answer = await source.publish(offer, "Alice")
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await until(lambda: [heard.display_name for heard in source.participants] == ["Alice"])


async def test_a_publisher_who_dies_has_left_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc_private, "CONSENT_INTERVAL_SECONDS", 0.1)
    recording = CallRecording()
    async with taking_publications(recording) as source, offering() as alice, offering() as bob:
        for (connection, offer), name in ((alice, "Alice"), (bob, "Bob")):
            _, answer = await source.publish(offer, name)
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await until(lambda: bool(recording.heard("Alice") and recording.heard("Bob")))
        for protocol in alice[0].getTransceivers()[0].receiver.transport.transport._connection._protocols:
            protocol.transport.abort()  # as the system does when a process is killed
        await until(lambda: [heard.display_name for heard in source.participants] == ["Bob"])
        heard = recording.heard("Bob")
        await until(lambda: recording.heard("Bob") > heard)
        assert recording.track("Alice").end is not None
        await bob[0].close()
        async with asyncio.timeout(20):
            assert await source.over() == "everyone has left"
