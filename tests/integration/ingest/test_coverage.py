"""GetCoverage over real streams: while people speak and afterwards, each participant's account adds up exactly."""

import asyncio
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import meeting_service_pb2 as mpb
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    Stubs,
    connected,
    finished,
    running_ingest,
    speech,
    start_meeting,
    until_durable,
)

PEOPLE = ("anna", "boris", "vera")
LEAVERS = 0.04


def rambling(seed: int, messages: int = 250) -> Script:
    """Return a session in which people come late, leave, come back, fall silent, are muted, cut off and lost."""
    dice = random.Random(seed)
    script = Script()
    there: dict[int, str] = {}
    for _ in range(messages):
        gone = [who for who in PEOPLE if who not in there.values()]
        if gone and (not there or dice.random() < 0.1):
            number = len(script.positions) + 1
            there[number] = dice.choice(gone)
            latest = max(script.positions.values(), default=0)
            script.track(number, there[number], start=latest + dice.randrange(5_000))
            continue
        number = dice.choice(list(there))
        samples = dice.randrange(1, 4_000)
        match dice.choices(("say", "pause", "conceal", "fill", "gap", "leave"), (6, 3, 1, 1, 2, 10 * LEAVERS))[0]:
            case "say":
                script.frame(number, speech(samples, dice.randrange(1 << 30)))
            case "pause":
                script.frame(number, np.zeros(samples, np.int16))
            case "conceal":
                script.frame(number, speech(samples, dice.randrange(1 << 30)), audio_pb2.AUDIO_KIND_PLC)
            case "fill":
                script.frame(number, np.zeros(samples, np.int16), audio_pb2.AUDIO_KIND_FILL)
            case "gap":
                script.gap(number, samples, dice.choice(audio_pb2.GapReason.values()))
            case "leave":
                script.leave(number)
                del there[number]
    script.end()
    return script


async def coverage(client: Stubs, meeting_id: str) -> Any:
    return await client.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id), timeout=SECONDS)


def check(account: Any) -> None:
    """Each participant's intervals are in order without overlap, and with absence they add up to the length."""
    for one in account.participants:
        totals = one.coverage_ms
        sums = [getattr(totals, field.name) for field in totals.DESCRIPTOR.fields]
        assert sum(sums) + one.absent_ms == account.duration_ms
        position = spent = 0
        for interval in one.intervals:
            assert position <= interval.start_ms < interval.end_ms
            position = interval.end_ms
            spent += interval.end_ms - interval.start_ms
        assert position <= account.duration_ms
        assert spent == sum(sums)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_account_of_a_meeting_adds_up_while_it_lives_and_afterwards(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = rambling(seed)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            reading = asyncio.create_task(until_durable(call, len(script.requests)))
            for number, request in enumerate(script.requests):
                await call.write(request)
                if number % 40 == 39:
                    check(await coverage(near.ingest.user, meeting_id))
            await reading
        meeting = await finished(near.ingest.user, meeting_id)
        account = await coverage(near.ingest.user, meeting_id)
        check(account)
        assert account.duration_ms == meeting.duration_ms == (max(script.positions.values()) * 1000 + 8_000) // 16_000
        assert {one.participant_id for one in account.participants} == set(PEOPLE)
        assert all(one.coverage_ms.pending == 0 for one in account.participants)
        for kind in ("transcribed", "silent", "muted", "concealed", "lost", "withdrawn"):
            assert sum(getattr(one.coverage_ms, kind) for one in account.participants) > 0
