"""Whose rows a task may touch: said by the innermost who knows, inherited by tasks, gone with the block."""

import asyncio

import pytest

from kit.db.tenancy import EVERYBODY, NOBODY, across_tenants, current, enter, within


async def test_the_innermost_scope_counts_and_ends_with_its_block() -> None:
    assert current() == NOBODY
    with within("acme"):
        with across_tenants():
            assert current() == EVERYBODY
        assert current() == "acme"
        with within(NOBODY):
            assert current() == NOBODY
    assert current() == NOBODY


async def test_tasks_inherit_a_scope_and_keep_their_own() -> None:
    async def work() -> tuple[str, str]:
        inherited = current()
        enter("umbrella")
        await asyncio.sleep(0)
        return inherited, current()

    with within("acme"):
        assert await asyncio.create_task(work()) == ("acme", "umbrella")
        assert current() == "acme"


async def test_nobody_becomes_everybody_by_name() -> None:
    with pytest.raises(ValueError, match="no tenant has this name"):
        enter(EVERYBODY)
