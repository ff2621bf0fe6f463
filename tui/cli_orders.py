"""The part of the command line that changes something: dead letters, breakers, sessions, reports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from tui.connection import Connection

Reason = Annotated[str, typer.Option(help="Why, for the audit trail.", metavar="TEXT")]
Expected = Annotated[
    str, typer.Option("--expected", help="State that you saw; if it has changed, nothing is done.", metavar="STATE")
]
Provider = Annotated[str, typer.Option(help="Provider that the session goes through.", metavar="NAME")]
Meeting = Annotated[str, typer.Argument(metavar="MEETING", help="Identifier of the meeting.")]
Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]
Jobs = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Identifiers of jobs; every dead letter if none.")
]

Only = Annotated[str, typer.Argument(metavar="[PROVIDER]", help="Only this provider; all if left out.")]

Run = Callable[[Coroutine[Any, Any, Any]], None]
Connect = Callable[[typer.Context], Connection]
Refuse = Callable[[str], Any]


def add_orders(app: typer.Typer, connect: Connect, run: Run, refuse: Refuse) -> None:
    """Add the commands.

    Args:
        app: the command line.
        connect: settles where to connect.
        run: runs the work and turns its errors into exit codes.
        refuse: ends the program for wrong usage.
    """

    def order(context: typer.Context, action: str, target: str, doing: str, **more: str) -> None:
        from tui.ordering import run_order
        from tui.orders import Order

        run(run_order(connect(context), Order(action, target, doing, **more)))

    app.add_typer(_dead_letters(connect, run, refuse), name="dlq")

    breaker = _group("Close circuit breakers by hand.")
    app.add_typer(breaker, name="breaker")

    @breaker.command("reset")
    def reset(
        context: typer.Context,
        name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the breaker, as `breakers` lists it.")],
        expected: Expected = "",
        reason: Reason = "",
    ) -> None:
        """Close a provider's breaker, so that the next call goes through."""
        order(context, "breaker.reset", name, f"reset {name}", expected_state=expected, reason=reason)

    session = _group("Send the recorder into calls and take it out.")
    app.add_typer(session, name="session")

    @session.command("join")
    def join(context: typer.Context, meeting: Meeting, provider: Provider = "", reason: Reason = "") -> None:
        """Send the recorder into the call of a meeting."""
        order(context, "session.join", meeting, "join this meeting", provider=provider, reason=reason)

    @session.command("leave")
    def leave(context: typer.Context, meeting: Meeting, expected: Expected = "", reason: Reason = "") -> None:
        """Take the recorder out of the call and finish the session."""
        order(context, "session.leave", meeting, "leave this meeting", expected_state=expected, reason=reason)

    @session.command("reconnect")
    def reconnect(context: typer.Context, meeting: Meeting, expected: Expected = "", reason: Reason = "") -> None:
        """Leave and join again, on the same timeline."""
        order(context, "session.reconnect", meeting, "reconnect this session", expected_state=expected, reason=reason)

    connector = _group("Mend what the connector holds.")
    app.add_typer(connector, name="connector")

    @connector.command("reconcile")
    def reconcile(context: typer.Context, provider: Only = "", reason: Reason = "") -> None:
        """Rejoin sessions that went stale."""
        order(context, "connector.reconcile", provider, "reconcile", reason=reason)

    @connector.command("live-pull")
    def live_pull(context: typer.Context, provider: Only = "", reason: Reason = "") -> None:
        """Fetch the chunks that pull providers hold."""
        order(context, "connector.live_pull", provider, "pull", reason=reason)

    report = _group("Build reports and send them again.")
    app.add_typer(report, name="report")

    @report.command("rebuild")
    def rebuild(context: typer.Context, meeting: Meeting, reason: Reason = "") -> None:
        """Build the report of a meeting again from its transcript."""
        order(context, "report.rebuild", meeting, "rebuild this report", reason=reason)

    @report.command("redeliver")
    def redeliver(
        context: typer.Context,
        meeting: Meeting,
        delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Identifier of the delivery.")],
        expected: Expected = "",
        reason: Reason = "",
    ) -> None:
        """Send a report again over one channel."""
        target = f"{meeting}/{delivery}"
        order(context, "delivery.retry", target, "deliver this again", expected_state=expected, reason=reason)


def _dead_letters(connect: Connect, run: Run, refuse: Refuse) -> typer.Typer:
    group = _group("Dead letters: jobs that gave up.")

    @group.command("ls")
    def ls(
        context: typer.Context,
        queue: Annotated[str, typer.Argument(metavar="[QUEUE]", help="Name of the queue; all if left out.")] = "",
        json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    ) -> None:
        """List dead letters with their last error."""
        from tui.asking import run_dead_letters

        run(run_dead_letters(connect(context), queue, json=json))

    @group.command("requeue")
    def requeue(context: typer.Context, queue: Queue, jobs: Jobs = None, reason: Reason = "") -> None:
        """Give dead letters another chance."""
        from tui.ordering import run_on_dead_letters

        run(run_on_dead_letters(connect(context), "job.requeue", queue, jobs or (), reason=reason))

    @group.command("drop")
    def drop(
        context: typer.Context,
        queue: Queue,
        jobs: Jobs = None,
        yes_drop: Annotated[
            str, typer.Option("--yes-drop", help="Name of the queue once more: this cannot be undone.", metavar="QUEUE")
        ] = "",
        reason: Reason = "",
    ) -> None:
        """Delete dead letters for good."""
        if yes_drop != queue:
            refuse(f"this cannot be undone; say so with --yes-drop {queue}")
        from tui.ordering import run_on_dead_letters

        run(run_on_dead_letters(connect(context), "job.drop", queue, jobs or (), reason=reason))

    return group


def _group(about: str) -> typer.Typer:
    return typer.Typer(
        help=about,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
