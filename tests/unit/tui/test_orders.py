"""The command line that gives the same order as a key."""

import shlex
from typing import Any

import pytest
import typer

from tui.cli import app
from tui.orders import Order, command_line, job_order

ORDERS = [
    [Order("session.join", "m-1", "", provider="room")],
    [Order("session.leave", "m-1", "", expected_state="LIVE", reason="it's over")],
    [Order("session.reconnect", "m-1", "", expected_state="DEGRADED")],
    [Order("connector.reconcile", "", "")],
    [Order("connector.live_pull", "pull.example", "")],
    [Order("breaker.reset", "sber jazz; rm -rf", "", expected_state="open")],
    [Order("report.rebuild", "m-1", "", expected_state="ready")],
    [Order("delivery.retry", "m-1/d-1", "", expected_state="failed", reason="crm is back")],
    [job_order("job.requeue", "deliver", "job-1"), job_order("job.requeue", "deliver", "job-2")],
    [job_order("job.drop", "deliver", "job-1", "poison")],
]


@pytest.mark.parametrize("orders", ORDERS, ids=[orders[0].action for orders in ORDERS])
def test_every_order_is_a_command_line_that_the_console_understands(orders: list[Order]) -> None:
    program, *words = shlex.split(command_line(orders))
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    parsed = command.make_context("", words).params
    assert program == "agent-console"
    values = [*parsed.values(), *(parsed.get("jobs") or ())]
    for order in orders:
        for part in (*order.target.partition("/")[::2], order.provider, order.reason):
            assert not part or part in values
