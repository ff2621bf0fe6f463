"""A Janus server that answers with nonsense, not at all, or sends us elsewhere: the call is lost, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from kit.ids import new_id
from services.connector.clock import SessionClock
from services.connector.provider import JoinSpec, Patience, ProviderAway, Surroundings
from services.connector.providers import janus, janus_client
from services.connector.providers.janus import JanusProvider, JanusSettings
from tests.fakes.call_recording import CallRecording
from tests.integration.connector.harness import until

Json = dict[str, Any]
Answer = Callable[[Json], list[Json]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Run a server that says to every request what `answer` returns, with the request's transaction in it."""

    async def talk(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for text in socket:
                request = json.loads(text)
                for message in answer(request):
                    await socket.send(json.dumps({"transaction": request["transaction"], **message}))

    async with serve(talk, "127.0.0.1", 0, subprotocols=["janus-protocol"]) as server:  # type: ignore[list-item]
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def proper(request: Json) -> list[Json]:
    """Answer as a server does up to the room's welcome."""
    if request["janus"] != "message":
        return [{"janus": "success", "data": {"id": 7}}]
    return [welcome([])] if request["body"]["request"] == "join" else []


def welcome(publishers: Any) -> Json:
    data = {"videoroom": "joined", "private_id": 1, "publishers": publishers}
    return {"janus": "event", "sender": 7, "plugindata": {"data": data}}


def instead(kind: str, *answers: Json) -> Answer:
    """Answer properly but for requests of one kind."""
    return lambda request: list(answers) if request["janus"] == kind else proper(request)


def provider(url: str) -> JanusProvider:
    settings = JanusSettings(url=url, api_secret=SecretStr("secret-of-the-tests"))
    return JanusProvider(settings, Surroundings("", None, patience=Patience(rejoin=0.2)))


@pytest.mark.parametrize(
    "answer",
    [
        instead("create", {"janus": "success"}),
        instead("create", {"janus": "success", "data": "none"}),
        instead("create", {"janus": "error", "error": "no"}),
        instead("attach", {"janus": "success", "data": {"id": "seven"}}),
        instead("message", {"janus": "event", "sender": "x", "plugindata": 5}),
        instead("message", {"janus": "event", "transaction": "", "sender": [], "plugindata": {}}),
        instead("message", welcome([{"id": 1, "display": 5, "streams": ["x", 5]}])),
        instead("message", welcome([{"id": 1, "streams": [{"type": "audio"}]}])),
        instead("message", welcome(5)),
        instead("message", {"janus": "event", "plugindata": {"data": {"error_code": "many"}}}),
    ],
)
async def test_nonsense_loses_the_call_and_nothing_else(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janus, "JOIN_SECONDS", 0.2)
    recording = CallRecording()
    async with (
        serving(answer) as url,
        provider(url).open_source(JoinSpec(new_id(), "acme", "1234"), SessionClock(), recording, recording) as source,
        asyncio.timeout(15),
    ):
        with pytest.raises(ProviderAway):
            await source.over()


async def test_a_request_without_an_answer_begins_the_session_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody publishes, and the server never answers the subscription: the recorder would be deaf for good."""
    monkeypatch.setattr(janus_client, "CALL_SECONDS", 0.3)
    somebody = {"id": 1, "display": "Alice", "streams": [{"type": "audio", "mid": "0"}]}
    created = 0

    def answer(request: Json) -> list[Json]:
        nonlocal created
        created += request["janus"] == "create"
        body = request.get("body", {})
        if body.get("request") != "join":
            return proper(request)
        return [welcome([somebody])] if body["ptype"] == "publisher" else []

    recording = CallRecording()
    async with (
        serving(answer) as url,
        provider(url).open_source(JoinSpec(new_id(), "acme", "1234"), SessionClock(), recording, recording),
    ):
        await until(lambda: created > 1)


async def test_a_redirection_is_not_followed() -> None:
    """What follows would be told our secret."""
    visited = 0

    def elsewhere(request: Json) -> list[Json]:
        nonlocal visited
        visited += 1
        return proper(request)

    async with serving(elsewhere) as target:

        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = target
            return response

        async with serve(_nothing, "127.0.0.1", 0, process_request=redirect) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(ProviderAway):
                await provider(url).probe()
    assert visited == 0


async def _nothing(socket: ServerConnection) -> None:
    await socket.wait_closed()
