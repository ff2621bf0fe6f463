"""Signalling on real WebSockets: who may enter, who offers, what everybody hears."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.rooms.member import QUEUE_MESSAGES
from kit.auth.authenticator import Everybody
from tests.integration.gateway import interview
from tests.integration.gateway.scripted import SERVICE_KEY, UNKNOWN_ID, USER_KEY, Mesh, running_mesh

ROOM = interview.MEETING_ID


def open_meeting(mesh: Mesh) -> None:
    mesh.meetings.known[ROOM] = interview.meeting("live")


class Client:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"v": 1, "type": kind, **fields}))

    async def hear(self, kind: str) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.recv())
        assert message["v"] == 1
        assert message["type"] == kind, message
        return message

    async def refused(self) -> tuple[str, int]:
        code = (await self.hear("error"))["code"]
        with pytest.raises(ConnectionClosed) as closed:
            await self.socket.recv()
        assert closed.value.rcvd
        return code, closed.value.rcvd.code


@asynccontextmanager
async def client(
    mesh: Mesh, name: str = "", token: str = USER_KEY, room: str = ROOM, **fields: Any
) -> AsyncIterator[Client]:
    async with connect(mesh.ws(f"/v1/rooms/{room}/signal")) as socket:
        connected = Client(socket)
        if name:
            await connected.say("join", room=room, name=name, token=token, **fields)
        yield connected


async def test_the_newcomer_offers_and_everybody_offers_to_the_recorder():
    async with running_mesh(ice_servers=[{"urls": "stun:stun.example.org"}]) as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna, client(mesh) as mark, client(mesh) as recorder:
            first = await anna.hear("joined")
            assert first["iceServers"] == [{"urls": "stun:stun.example.org"}]
            assert (first["room"], first["peers"]) == (ROOM, [])
            await mark.say("join", name=" Mark  Weber ", token=USER_KEY)
            second = await mark.hear("joined")
            assert second["self"]["name"] == "Mark Weber"
            [seen_by_mark] = second["peers"]
            seen_by_anna = (await anna.hear("peer-joined"))["peer"]
            assert (seen_by_mark["initiator"], seen_by_anna["initiator"]) == (True, False)
            assert seen_by_mark["polite"] is not seen_by_anna["polite"]

            await recorder.say("join", name="Recorder", role="recorder", token=SERVICE_KEY)
            peers = (await recorder.hear("joined"))["peers"]
            assert [(peer["initiator"], peer["polite"]) for peer in peers] == [(False, False)] * 2
            for human in (anna, mark):
                peer = (await human.hear("peer-joined"))["peer"]
                assert (peer["role"], peer["initiator"], peer["polite"]) == ("recorder", True, True)


async def test_signals_reach_one_and_chat_mute_and_goodbye_reach_all():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna:
            own = (await anna.hear("joined"))["self"]
            async with client(mesh, "Mark") as mark:
                other = (await mark.hear("joined"))["self"]
                await anna.hear("peer-joined")
                offer = {"description": {"type": "offer", "sdp": "v=0"}}
                await mark.say("signal", to=own["id"], data=offer)
                assert await anna.hear("signal") == {"v": 1, "type": "signal", "from": other["id"], "data": offer}
                await mark.say("signal", to="nobody", data={"candidate": None})
                assert (await mark.hear("error"))["code"] == "no-such-peer"
                await mark.say("mute", muted=True)
                updated = await anna.hear("peer-updated")
                assert (updated["peer"]["muted"], updated["by"]) == (True, other["id"])
                await mark.hear("peer-updated")
                await mark.say("mute", muted=True, target=own["id"])
                assert (await mark.hear("error"))["code"] == "forbidden"
                await mark.say("chat", text="hello")
                assert (await anna.hear("chat"))["text"] == "hello"
                await mark.hear("chat")
                await mark.say("ping")
                await mark.hear("pong")
                await mark.say("leave")
                with pytest.raises(ConnectionClosed):
                    await mark.socket.recv()
            assert (await anna.hear("peer-left"))["id"] == other["id"]


async def test_a_participant_who_comes_back_is_the_same_participant():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna, client(mesh, "Mark") as mark:
            await anna.hear("joined")
            joined = await mark.hear("joined")
            await anna.hear("peer-joined")
            async with client(mesh, "Mark", resume=joined["resume"]) as again:
                assert (await again.hear("joined"))["self"]["id"] == joined["self"]["id"]
                assert (await anna.hear("peer-left"))["id"] == joined["self"]["id"]
                assert (await anna.hear("peer-joined"))["peer"]["id"] == joined["self"]["id"]
                with pytest.raises(ConnectionClosed) as closed:
                    await mark.socket.recv()
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 4409
            async with client(mesh, "Eve", resume="guessed") as eve:
                assert (await eve.hear("joined"))["self"]["id"] != joined["self"]["id"]


@pytest.mark.parametrize(
    ("fields", "room", "expected"),
    [
        ({"token": ""}, ROOM, ("unauthenticated", 4401)),
        ({"token": "wrong"}, ROOM, ("unauthenticated", 4401)),
        ({}, UNKNOWN_ID, ("meeting-not-found", 4404)),
        ({"role": "recorder"}, ROOM, ("forbidden", 4403)),
        ({"role": "king"}, ROOM, ("bad-message", 4400)),
    ],
)
async def test_who_may_not_enter_is_told_why(fields: dict[str, str], room: str, expected: tuple[str, int]):
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Eve", room=room, **{"token": USER_KEY, **fields}) as eve:
            assert await eve.refused() == expected


async def test_joining_comes_first_and_a_finished_meeting_is_closed():
    async with running_mesh() as mesh:
        async with client(mesh, "Anna") as late:
            assert await late.refused() == ("meeting-finished", 4409)
        open_meeting(mesh)
        async with client(mesh) as rude:
            await rude.say("chat", text="hello")
            assert await rude.refused() == ("join-first", 4400)


async def test_a_room_has_a_size():
    async with running_mesh(room_members=2) as mesh:
        open_meeting(mesh)
        async with client(mesh, "A") as a, client(mesh, "B") as b:
            await a.hear("joined")
            await b.hear("joined")
            async with client(mesh, "C") as c:
                assert await c.refused() == ("room-full", 4429)


async def test_without_authentication_everybody_enters_without_a_key():
    async with running_mesh(Everybody()) as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna", token="") as anna, client(mesh, "R", token="", role="recorder") as recorder:
            await anna.hear("joined")
            await recorder.hear("joined")


async def test_a_frame_above_64_kib_ends_the_socket():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna:
            await anna.hear("joined")
            await anna.say("chat", text="x" * 70_000)
            with pytest.raises(ConnectionClosed) as closed:
                await anna.socket.recv()
            assert closed.value.sent or closed.value.rcvd


async def test_a_member_that_does_not_read_is_let_go_and_nobody_waits():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with (
            connect(mesh.ws(f"/v1/rooms/{ROOM}/signal"), max_queue=1, close_timeout=0.1) as deaf,
            client(mesh, "Anna") as anna,
        ):
            await anna.hear("joined")
            await Client(deaf).say("join", name="Deaf", token=USER_KEY)
            peer = (await anna.hear("peer-joined"))["peer"]
            for _ in range(4 * QUEUE_MESSAGES):
                await anna.say("signal", to=peer["id"], data={"description": {"type": "offer", "sdp": "s" * 50_000}})
                await anna.say("ping")
                message = json.loads(await anna.socket.recv())
                if message["type"] == "peer-left":
                    break
                assert message["type"] == "pong"
            else:
                pytest.fail("the deaf member is still there")


async def test_who_withdraws_is_shown_so_to_everybody_and_stays_so_when_they_come_back():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna, client(mesh, "Mark") as mark:
            own = (await anna.hear("joined"))["self"]
            assert own["recording"] is True
            joined = await mark.hear("joined")
            await anna.hear("peer-joined")
            await mark.say("consent", recording=False)
            for member in (anna, mark):
                updated = await member.hear("peer-updated")
                assert (updated["peer"]["recording"], updated["by"]) == (False, joined["self"]["id"])
            async with client(mesh, "Mark", resume=joined["resume"]) as again:
                assert (await again.hear("joined"))["self"]["recording"] is False
                await again.say("consent", recording=True)
                assert (await again.hear("peer-updated"))["peer"]["recording"] is True
            async with client(mesh, "Eve", recording=False) as eve:
                assert (await eve.hear("joined"))["self"]["recording"] is False


async def test_people_speak_for_themselves_and_a_recorder_may_only_tell_that_somebody_withdrew():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna, client(mesh, "Mark") as mark:
            own = (await anna.hear("joined"))["self"]
            await mark.hear("joined")
            await mark.say("consent", recording=False, target=own["id"])
            assert (await mark.hear("error"))["code"] == "forbidden"
            async with client(mesh, "Recorder", SERVICE_KEY, role="recorder") as recorder:
                await recorder.hear("joined")
                await mark.hear("peer-joined")
                await recorder.say("consent", recording=False, target=own["id"])
                assert (await recorder.hear("peer-updated"))["peer"]["recording"] is False
                assert (await mark.hear("peer-updated"))["peer"]["id"] == own["id"]
                await recorder.say("consent", recording=True, target=own["id"])
                assert (await recorder.hear("error"))["code"] == "forbidden"


async def test_a_line_for_one_reaches_them_and_its_sender():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "Anna") as anna, client(mesh, "Mark") as mark, client(mesh, "Eve") as eve:
            own = (await anna.hear("joined"))["self"]
            await mark.hear("joined")
            await eve.hear("joined")
            for _ in range(2):
                await anna.hear("peer-joined")
            await mark.hear("peer-joined")
            await eve.say("chat", text="you are recorded", to=own["id"])
            for member in (anna, eve):
                line = await member.hear("chat")
                assert (line["text"], line["to"]) == ("you are recorded", own["id"])
            await eve.say("chat", text="for all")
            assert await mark.hear("chat") | {"ts": 0} == await anna.hear("chat") | {"ts": 0}
            await eve.say("chat", text="x", to="nobody")
            assert (await eve.hear("chat"))["text"] == "for all"
            assert (await eve.hear("error"))["code"] == "no-such-peer"


async def test_names_are_cleaned_and_two_of_a_name_are_told_apart():
    async with running_mesh() as mesh:
        open_meeting(mesh)
        async with client(mesh, "An\u202ena\x07") as anna, client(mesh, "anna") as other:
            assert (await anna.hear("joined"))["self"]["name"] == "Anna"
            joined = await other.hear("joined")
            assert joined["self"]["name"] == "anna (2)"
            async with client(mesh, "anna", resume=joined["resume"]) as again:
                assert (await again.hear("joined"))["self"]["name"] == "anna (2)", "the same person, the same name"
