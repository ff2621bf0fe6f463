"""The audit trail without a database: the chain, origins and the queue before it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from kit.audit.chain import CUT, RETENTION_METHOD, ChainCheck, ChainedDecision, fit, hash_of
from kit.audit.decision import Decision
from kit.audit.origin import ORIGIN, Origin, Origins
from kit.audit.settings import AuditSettings
from kit.audit.trail import AuditTrail, open_trail
from kit.errors import Unavailable
from tests.kit_server import eventually

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)


def decision(**fields: Any) -> Decision:
    usual = Decision("allow", "/v1/meetings", "GET", "user:1", "api_key", "rule", "default", NOON, "write", "/a.B/C")
    return replace(usual, **fields)


def chain(decisions: Sequence[Decision], prev_hash: str = "") -> list[ChainedDecision]:
    rows: list[ChainedDecision] = []
    for number, one in enumerate(decisions, 1):
        row = ChainedDecision(f"r{number}", number, one, prev_hash, hash_of(f"r{number}", one, prev_hash))
        rows.append(row)
        prev_hash = row.hash
    return rows


def _changed(field: str) -> Any:
    return {field: "deny"}


def broken_at(rows: Sequence[ChainedDecision]) -> int | None:
    check = ChainCheck()
    for row in rows:
        check.take(row)
    found = check.finish()
    return None if found is None else found.sequence


def test_a_chain_shows_rows_that_were_changed_removed_or_put_in():
    rows = chain([decision(subject=f"user:{number}") for number in range(6)])
    assert broken_at(rows) is None
    assert broken_at([]) is None
    for field in ("outcome", "endpoint", "method", "subject", "auth_type", "reason", "tenant_id"):
        forged = replace(rows[3], decision=replace(rows[3].decision, **_changed(field)))
        assert broken_at([*rows[:3], forged, *rows[4:]]) == 4, field
    assert broken_at([*rows[:2], *rows[3:]]) == 4
    assert broken_at(rows[2:]) == 3
    assert broken_at([*rows[:2], rows[3], rows[2], *rows[4:]]) == 4
    own_hash = replace(rows[3], decision=decision(subject="x"), hash=hash_of("r4", decision(subject="x"), "feed"))
    assert broken_at([*rows[:3], own_hash, *rows[4:]]) == 4


def test_a_chain_that_was_cut_says_where():
    rows = chain([decision() for _ in range(4)])
    note = decision(method=RETENTION_METHOD, reason=f"{CUT}{rows[1].hash} after 2 rows")
    kept = [*rows[2:], *chain([note], rows[3].hash)]
    assert broken_at(kept) is None
    assert broken_at([rows[3], *kept[2:]]) == 4


def test_a_row_hashes_alike_in_every_time_zone_and_holds_no_endless_text():
    from datetime import timedelta, timezone

    elsewhere = decision(time=NOON.astimezone(timezone(timedelta(hours=3))))
    assert hash_of("r", elsewhere, "") == hash_of("r", decision(), "")
    fitted = fit(decision(endpoint="/" + "x" * 5000, subject="a\x00b"))
    assert (len(fitted.endpoint), fitted.subject) == (512, "a?b")


def test_an_origin_counts_only_with_a_seal_of_a_shared_key():
    ours = Origins([SecretStr("first"), SecretStr("second")])
    origin = Origin.of("POST", "/v1/meetings/встреча\n")
    metadata = {"x-request-id": "r1", **dict(ours.write(origin, "r1"))}
    assert ours.read(metadata) == origin == Origin("POST", "/v1/meetings/???????" + "?")
    assert Origins([SecretStr("second"), SecretStr("first")]).read(metadata) == origin
    assert ours.read({**metadata, ORIGIN: "GET /v1/meetings"}) is None
    assert ours.read({**metadata, "x-request-id": "r2"}) is None
    assert Origins([SecretStr("third")]).read(metadata) is None
    assert ours.read({ORIGIN: "GET /", "x-request-id": "r1"}) is None
    assert Origins().write(origin, "r1") == ()
    assert Origins(trusting=True).read(dict(Origins(trusting=True).write(origin, "r1"))) == origin


class Table:
    """Keeps batches; `away` refuses them."""

    def __init__(self) -> None:
        self.away = False
        self.refused = 0
        self.kept: list[Decision] = []

    async def append(self, decisions: Sequence[Decision]) -> None:
        if self.away:
            self.refused += 1
            raise Unavailable
        self.kept += decisions


async def test_decisions_wait_in_order_while_the_table_is_away():
    table = Table()
    table.away = True
    async with open_trail(table, AuditSettings()) as trail:
        for number in range(1200):
            trail.record(decision(subject=str(number)))
        await eventually(lambda: table.refused > 0)
        trail.record(decision(subject="1200"))
        table.away = False
        await eventually(lambda: len(table.kept) == 1201)
    subjects = [int(one.subject) for one in table.kept]
    assert all(after == before + 1 for before, after in pairwise(subjects))


async def test_what_waits_is_written_at_the_end_and_a_full_queue_loses_aloud():
    table = Table()
    with capture_logs() as lines:
        async with open_trail(table, AuditSettings(queue=100)) as trail:
            for number in range(130):
                trail.record(decision(subject=str(number)))
    assert [one.subject for one in table.kept] == [str(number) for number in range(100)]
    assert [line["event"] for line in lines] == ["security_audit_overflow", "security_audit_lost"]
    assert lines[-1]["decisions"] == 30


async def test_an_end_without_a_table_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.audit.trail._LAST_WORDS_SECONDS", 0.1)
    table = Table()
    table.away = True
    with capture_logs() as lines:
        async with asyncio.timeout(5), open_trail(table, AuditSettings()) as trail:
            trail.record(decision())
    assert "security_audit_unwritten" in [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("fields", "admin", "everything"),
    [
        ({"outcome": "deny", "weight": "read"}, True, True),
        ({"weight": "admin"}, True, True),
        ({"weight": "write"}, True, True),
        ({"weight": "read"}, False, True),
        ({"weight": "admin", "rpc": "/agent.ops.v1.OpsService/RecordAudit", "method": "GRPC"}, False, False),
        ({"weight": "admin", "rpc": "/agent.ops.v1.OpsService/ListQueues", "method": "GET"}, False, False),
        ({"weight": "admin", "rpc": "/agent.ops.v1.OpsService/ListQueues", "method": "GRPC"}, True, True),
    ],
)
async def test_what_belongs_in_the_trail(fields: dict[str, Any], admin: bool, everything: bool):
    for allow, expected in (("admin", admin), ("all", everything)):
        table = Table()
        trail = AuditTrail(AuditSettings(allow=allow))
        trail.record(decision(**fields))
        trail.close()
        await trail.run(table)
        assert bool(table.kept) is expected
