"""Publishing to a meeting over WHIP: the real gateway, the real connector, real WebRTC."""

import asyncio

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from examples.callers.player import Player
from examples.callers.speech import speech_from_samples
from tests.fakes.whip_mesh import FINISHED, MEETING, SDP, WhipMesh, running_whip
from tests.fakes.whip_publisher import offer_of, open_publication
from tests.integration.connector.harness import place_of, speech_like, track_of, until

PAGE = "https://studio.example.org"
QUIET = speech_from_samples(speech_like(0.5, 9))


async def heard(mesh: WhipMesh, names: list[str]) -> None:
    """Wait until these are heard in the meeting, and nobody else."""
    async with asyncio.timeout(20):
        while await mesh.participants() != names:  # noqa: ASYNC110 - what is waited for happens in other rooms
            await asyncio.sleep(0.1)


@pytest.mark.realtime
async def test_publishers_come_and_go_as_participants_of_one_session() -> None:
    said = {name: speech_like(2.0, seed) for seed, name in enumerate(("Alice", "Speaker 1"), 1)}
    async with running_whip() as mesh:
        alices = open_publication(mesh.http, f"{mesh.endpoint}?display_name=Alice", speech_from_samples(said["Alice"]))
        unnamed = open_publication(mesh.http, mesh.endpoint, speech_from_samples(said["Speaker 1"]))
        async with alices as alice, unnamed as other:
            assert alice.response.headers["content-type"] == SDP
            assert alice.location.startswith(f"/v1/meetings/{MEETING}/whip/")
            assert "a=candidate:" in alice.response.text
            await heard(mesh, ["Alice", "Speaker 1"])
            for publication in (alice, other):
                publication.player.start()
            for publication in (alice, other):
                await publication.player.finished.wait()
            assert (await mesh.http.delete(alice.location)).status_code == 200
            await heard(mesh, ["Speaker 1"])
            gone = await mesh.http.delete(alice.location)
            assert (gone.status_code, gone.json()["reason"]) == (404, "ERROR_REASON_PUBLICATION_NOT_FOUND")
        # The other one hangs up without DELETE; then nobody is left, and the session ends by itself.
        await until(lambda: mesh.ingest.session.end is not None)
    assert len(mesh.ingest.session.tracks) == 2
    for name, samples in said.items():
        assert place_of(samples, track_of(mesh.ingest, name).samples)[1] > 0.9


async def test_a_path_says_what_it_takes() -> None:
    async with running_whip(origin=PAGE) as mesh:
        asked = {
            "origin": PAGE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        allowed = await mesh.http.options(mesh.endpoint, headers=asked)
        assert allowed.status_code == 204
        assert allowed.headers["accept-post"] == SDP
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert allowed.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in allowed.headers["access-control-allow-methods"]
        foreign = await mesh.http.options(mesh.endpoint, headers={**asked, "origin": "https://elsewhere.example.org"})
        assert not [name for name in foreign.headers if name.startswith("access-control")]
        patched = await mesh.http.patch(f"{mesh.endpoint}/x", content="a=candidate", headers={"origin": PAGE})
        assert (patched.status_code, patched.headers["allow"]) == (405, "DELETE")
        assert "Location" in patched.headers["access-control-expose-headers"]
        assert (await mesh.http.options("/v1/nothing")).status_code == 404


async def test_an_offer_that_cannot_be_answered_says_why() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    offer = await offer_of(connection, Player(QUIET))
    await connection.close()
    sdp = {"content-type": SDP}
    async with running_whip() as mesh:
        for text, detail in (
            ("hello", "not a session description"),
            (offer.replace("m=audio", "m=video"), "no audio line"),
            (offer.replace("a=sendonly", "a=inactive"), "no audio line"),
            (offer.replace("a=ice-ufrag", "a=ice-nothing"), "cannot be answered"),
        ):
            refused = await mesh.http.post(mesh.endpoint, content=text, headers=sdp)
            assert (refused.status_code, refused.json()["reason"]) == (400, "ERROR_REASON_OFFER_UNUSABLE"), text
            assert detail in refused.json()["detail"]
        wrong = await mesh.http.post(mesh.endpoint, json={"sdp": offer})
        assert wrong.status_code == 415
        keyless = await mesh.http.post(mesh.endpoint, content=offer, headers={**sdp, "authorization": ""})
        assert keyless.status_code == 401
        for meeting, code, reason in (("nobodys", 404, "NOT_FOUND"), (FINISHED, 400, "FINISHED")):
            refused = await mesh.http.post(f"/v1/meetings/{meeting}/whip", content=offer, headers=sdp)
            assert (refused.status_code, refused.json()["reason"]) == (code, f"ERROR_REASON_MEETING_{reason}")
        assert await mesh.participants() == []


async def test_a_meeting_takes_no_more_publications_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHIP_MAX_PUBLICATIONS", "1")
    async with running_whip() as mesh, open_publication(mesh.http, mesh.endpoint, QUIET) as publication:
        offer = publication.connection.localDescription.sdp
        full = await mesh.http.post(mesh.endpoint, content=offer, headers={"content-type": SDP})
        assert full.status_code == 429
