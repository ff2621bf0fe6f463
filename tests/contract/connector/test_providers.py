"""What every kind of provider does alike. A new one is in the register, in `peers.PEERS`, and passes all of this."""

import asyncio
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kit.settings import describe, load
from services.connector.provider import Basis, CallRefused, ProviderAway, Surroundings
from services.connector.registry import installed_kinds
from tests.contract.connector.peers import NEEDS, NOWHERE, PEERS, WITHOUT_PEER, joined, made

KINDS = installed_kinds()
NAMES = sorted(KINDS)
HERE = [pytest.param(name, marks=NEEDS.get(name, ())) for name in NAMES if name in PEERS]
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")
CYCLES = 4
NO_ADDRESSES = ("https://[example.org", "https://example.org:99999999/", "\0", " ")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this machine, and no `.env`, decides what is tested."""
    monkeypatch.chdir(tmp_path)
    for variable in describe(kind.settings for kind in KINDS.values() if kind.settings):
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.delenv("APP_ENV", raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_it_describes_itself(name: str) -> None:
    kind = KINDS[name]
    assert kind.name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert kind.summary
    assert "\n" not in kind.summary
    assert not kind.summary.endswith(".")
    assert kind.address_form
    assert name in PEERS or name in WITHOUT_PEER, "say in peers.py how its other side is run"


@pytest.mark.parametrize("name", NAMES)
def test_its_settings_explain_themselves(name: str) -> None:
    section = KINDS[name].settings
    if section is None:
        return
    assert inspect.cleandoc(section.__doc__ or "").endswith(".")
    for variable in describe([section]):
        assert variable.description, f"{variable.name} does not say what it is"
        secret = re.search(r"(TOKEN|PASSWORD|SECRET|KEY)$", variable.name)
        assert not secret or variable.secret, f"{variable.name} would be shown"


@pytest.mark.parametrize("name", NAMES)
def test_without_settings_it_can_be_used_or_says_which_variable_to_set(name: str) -> None:
    kind = KINDS[name]
    settings = load(kind.settings)[0] if kind.settings else None
    hint = kind.off(settings)
    if hint:
        assert VARIABLE.search(hint), hint
    else:
        kind.make(settings, Surroundings(NOWHERE, None))


@pytest.mark.parametrize("name", HERE)
async def test_an_address_of_another_kind_is_refused_at_once(name: str) -> None:
    async with PEERS[name]() as peer:
        provider = made(name, peer.settings, peer.surroundings)
        for url in (peer.foreign_url, *NO_ADDRESSES):
            foreign = replace(peer.spec, meeting_url=url)
            provider.base(foreign)
            with pytest.raises(CallRefused) as refused:
                async with joined(provider, foreign, pulls=KINDS[name].capabilities.pull):
                    pass
            assert "example.org" not in str(refused.value), "an address may hold a secret"


@pytest.mark.parametrize("name", HERE)
async def test_a_probe_tells_who_answers_from_who_does_not(name: str) -> None:
    async with PEERS[name]() as peer:
        await made(name, peer.settings, peer.surroundings).probe()
        if not peer.asked:
            return
        nowhere = replace(peer.surroundings, gateway_url=NOWHERE)
        with pytest.raises(ProviderAway):
            await made(name, peer.unreachable or peer.settings, nowhere).probe()


@pytest.mark.parametrize("name", HERE)
async def test_participants_are_named_and_it_is_known_how(name: str) -> None:
    capabilities = KINDS[name].capabilities
    async with PEERS[name]() as peer:
        provider = made(name, peer.settings, peer.surroundings)
        async with joined(provider, peer.spec, pulls=capabilities.pull, arrive=peer.arrive) as ear:
            await ear.until(lambda: bool(ear.participants) and ("entered",) in ear.notes.events)
            assert {type(heard.basis) for heard in ear.participants} == {Basis}
            assert peer.named in [(heard.display_name, heard.basis) for heard in ear.participants]
            if capabilities.pull:
                await ear.until(lambda: bool(ear.chunks.chunks))
                assert peer.named in [(chunk.display_name, chunk.basis) for chunk in ear.chunks.chunks]
            told = [event[2] for event in ear.notes.events if event[0] == "told"]
            assert not told or peer.named[0] in told


@pytest.mark.parametrize("name", HERE)
async def test_joining_and_leaving_leaves_nothing_behind(name: str) -> None:
    async with PEERS[name]() as peer:
        provider = made(name, peer.settings, peer.surroundings)
        for cycle in range(CYCLES):
            opening = joined(provider, peer.spec, pulls=KINDS[name].capabilities.pull, arrive=peer.arrive)
            async with opening as ear:
                events = ear.notes.events
                if cycle == 1:  # left while its media come about, if it has any
                    await ear.until(lambda: bool(ear.participants))
                elif cycle != 2:  # in the third the recorder is called away at once
                    await ear.until(lambda: bool(ear.participants) and (peer.settled,) in events)  # noqa: B023
            if peer.hang_up:
                await peer.hang_up()
            if cycle == 0:  # what is made once may stay
                tasks, sockets = len(asyncio.all_tasks()), len(list(open_sockets()))
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > tasks or len(list(open_sockets())) > sockets:  # noqa: ASYNC110 - the system's
                await asyncio.sleep(0.02)


def open_sockets() -> Iterator[str]:
    """Yield the sockets of this process."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:"):
            yield target
