"""The end of a stream: after `end` the last word is there, every time; without `end` nothing was finished."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import cycle

import grpc
import numpy as np
import pytest

from agent.stt.v1 import stt_service_pb2 as pb
from kit.rpc.status import error_of
from services.stt.audio import SAMPLE_RATE_HERTZ, Pcm, milliseconds_of, samples_of
from services.stt.endpointing import Endpointer, EndpointingRules, Utterance
from services.stt.engines.engine import Mode, Window
from services.stt.engines.mock import SCRIPT, MockEngine
from services.stt.engines.silero import load_vad_session
from tests.data.speech.sentences import sentences, silence
from tests.integration.stt.running import RunningStt, Track, dialled, open_track, recognise, running_stt

_CLOSES = 1_000
_AT_A_TIME = 16
_CLOSES_OF_THE_MODEL = 30
_BREAKS = 60
_PAUSE = samples_of(0.7)


@dataclass(frozen=True, slots=True)
class _Said:
    """A track that stops with its last sample, and the finals it must give."""

    pcm: Pcm
    finals: tuple[tuple[str, int], ...]
    """Text and decided sample of each."""
    voice_end_sample: int
    """Where the last voice ends; a track may stop in the quiet within a word."""


def _tracks(seed: int) -> list[_Said]:
    """Words cut out of sentences, one or two with a pause, broken off in the middle of speech."""
    choose = random.Random(seed)
    mock = MockEngine(script=SCRIPT, seed=0, seconds_per_decode=0.0, workers=1)
    tracks: list[_Said] = []
    while len(tracks) < 40:
        parts = []
        for _ in range(choose.choice([1, 1, 2])):
            spoken = choose.choice(sentences()).pcm
            length = choose.randrange(samples_of(0.5), samples_of(1.0))
            start = choose.randrange(0, len(spoken) - length)
            parts += [silence(0.7), spoken[start : start + length]]
        pcm = np.concatenate(parts)[_PAUSE - choose.randrange(_PAUSE) :]
        cuts = _cuts(pcm)
        finals = tuple(
            (mock.decode([Window(cut.waveform, "en", Mode.FINAL)])[0].text, cut.boundary_sample) for cut in cuts
        )
        # What is broken off so early that it is no speech yet has no last word to lose.
        if finals and finals[-1][1] == len(pcm):
            tracks.append(_Said(pcm, finals, cuts[-1].end_sample))
    return tracks


def _cuts(pcm: Pcm) -> list[Utterance]:
    endpointer = Endpointer(load_vad_session(), EndpointingRules())
    events = endpointer.feed(pcm) + endpointer.flush()
    return [event for event in events if isinstance(event, Utterance) and event.is_speech]


def _sizes(choose: random.Random) -> list[int]:
    return [choose.randrange(1, choose.choice([400, 4_000, 16_000])) for _ in range(choose.randrange(1, 6))]


async def _close(stt: RunningStt, said: _Said, choose: random.Random) -> str:
    """Say a track and end it; returns what is wrong."""
    sizes = [max(size, 320) for size in _sizes(choose)]
    async with open_track(stt, language="en", interim=choose.random() < 0.3) as track:
        await track.say(said.pcm, sizes)
        await track.send(end=pb.SpeechEnd())
        if choose.random() < 0.5:
            await track.call.done_writing()
        finished = (await track.until(lambda message: message.HasField("finished"))).finished
        after = await track.call.read()
    heard = tuple((final.text, final.decided_sample) for final in track.finals)
    if heard != said.finals:
        return f"{sizes}: {heard} instead of {said.finals}"
    last = track.finals[-1].words[-1]
    if last.text != said.finals[-1][0].split()[-1] or last.end_ms != milliseconds_of(said.voice_end_sample):
        return f"{sizes}: the last word ends at {last.end_ms} ms"
    if (finished.finals, finished.decided_sample) != (len(heard), len(said.pcm)) or after is not grpc.aio.EOF:
        return f"{sizes}: finished with {finished}, then {after}"
    return ""


@pytest.mark.timeout(120)
async def test_the_last_word_is_there_in_1000_of_1000_closes() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    tracks = cycle(_tracks(seed))
    turns = iter([(number, next(tracks)) for number in range(_CLOSES)])
    wrong: list[str] = []
    closed = 0

    async def close_in_turn(stt: RunningStt) -> None:
        nonlocal closed
        for number, said in turns:
            problem = await _close(stt, said, random.Random(seed + number))
            closed += 1
            if problem:
                wrong.append(f"seed {seed}, close {number}: {problem}")

    async with running_stt(provider="mock") as stt, asyncio.TaskGroup() as tasks:
        for number in range(_AT_A_TIME):
            tasks.create_task(close_in_turn(stt), name=f"test.close.{number}")
    assert wrong == []
    assert closed == _CLOSES


@pytest.mark.timeout(120)
async def test_the_last_word_is_there_when_a_model_reads_it() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    heard, said = [], []
    async with running_stt() as stt:
        for _ in range(_CLOSES_OF_THE_MODEL // 2):
            pair = [choose.choice(sentences()) for _ in range(2)]
            for sentence in pair:
                lead = silence(choose.uniform(0.1, 0.9))
                finals = await recognise(
                    stt, np.concatenate([lead, sentence.pcm]), sizes=_sizes(choose), language=sentence.language
                )
                heard.append([final.text for final in finals])
                said.append([sentence.text])
    assert heard == said, f"seed {seed}"


async def _half_close(track: Track) -> None:
    await track.call.done_writing()


async def _cancel(track: Track) -> None:
    track.call.cancel()


@pytest.mark.parametrize("breaking", [_half_close, _cancel], ids=["half-closed", "cancelled"])
async def test_a_stream_that_breaks_is_never_taken_for_a_finished_one(
    breaking: Callable[[Track], Awaitable[None]],
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    choose, tracks = random.Random(seed), _tracks(seed)
    async with running_stt(provider="mock") as stt:
        for _ in range(_BREAKS):
            said = choose.choice(tracks)
            async with open_track(stt, language="en") as track:
                await track.say(said.pcm[: choose.randrange(len(said.pcm))], [4_000])
                await breaking(track)
                assert await _ending(track) == grpc.StatusCode.CANCELLED
            assert "finished" not in track.kinds
            # What no silence followed was not over, and has no final.
            assert all(final.decided_sample < track.position for final in track.finals)
        await _until_quiet(stt)


async def test_a_connection_that_is_cut_finishes_nothing() -> None:
    said = _tracks(1)[0]
    async with running_stt(provider="mock") as stt:
        async with (
            _relay(stt.address) as relay,
            dialled(relay.address) as stub,
            open_track(replace(stt, stub=stub), language="en") as track,
        ):
            await track.say(said.pcm)
            await _until(stt, lambda stats: stats.audio_seconds == len(said.pcm) / SAMPLE_RATE_HERTZ)
            relay.cut()
            assert await _ending(track) == grpc.StatusCode.UNAVAILABLE
        await _until_quiet(stt)
        assert "finished" not in track.kinds
        stats = await stt.stub.GetStats(pb.GetStatsRequest())
    assert stats.finals == len(said.finals) - 1


@dataclass(slots=True)
class _Relay:
    """A connection that can be cut, as a cable is."""

    upstream: str
    address: str = ""
    server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def gone(self) -> None:
        """Wait until nothing is left of the connections."""
        self.cut()
        for writer in self._writers:
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one side is gone."""
        self._writers.append(writer)
        host, _, port = self.upstream.rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        self._writers.append(there_writer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(reader, there_writer), name="relay.up")
            tasks.create_task(self._pump(there_reader, writer), name="relay.down")

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Drop every connection without a word, and take no other."""
        assert self.server is not None
        self.server.close()
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def _relay(upstream: str) -> AsyncIterator[_Relay]:
    relay = _Relay(upstream)
    relay.server = await asyncio.start_server(relay.carry, "127.0.0.1", 0)
    relay.address = f"127.0.0.1:{relay.server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        await relay.gone()


async def _ending(track: Track) -> grpc.StatusCode:
    try:
        return error_of(await track.failure()).code
    except asyncio.CancelledError:  # how a call that its own side has cancelled ends
        return grpc.StatusCode.CANCELLED


async def _until(stt: RunningStt, condition: Callable[[pb.GetStatsResponse], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition(await stt.stub.GetStats(pb.GetStatsRequest())):  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.01)


async def _until_quiet(stt: RunningStt) -> None:
    await _until(stt, lambda stats: stats.streams == 0)
