"""The command line of `agent-console`: the full screen without a command, lines for scripts with one."""

from __future__ import annotations

import asyncio
import locale
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from kit.auth.tenant import is_tenant_id
from kit.settings import SettingsError, load
from tui.cli_orders import add_orders
from tui.connection import Connection, find_connection
from tui.settings import ConsoleSettings
from tui.ssh.cli import add_serving

app = typer.Typer(
    name="agent-console",
    help="The mesh at a glance: live sessions, rooms, queues and breakers, over one stream from the gateway.\n\n"
    "Without a command it opens full screen; press [bold]?[/] there for the keys. On the machine where `agent up` "
    "runs nothing needs to be set.",
    epilog="[bold]Examples[/]\n\n"
    "agent-console\n\n"
    "agent-console --target gateway.example:8011 --key-file ~/.agent-key\n\n"
    "agent-console sessions --json | jq 'select(.state != \"LIVE\")'\n\n"
    "agent-console services --watch\n\n"
    "agent-console tail 0199a7c2-...\n\n"
    "agent-console logs --level warning --follow\n\n"
    "agent-console dlq ls && agent-console dlq requeue deliver\n\n"
    "agent-console dlq drop deliver --yes-drop deliver\n\n"
    "agent-console breaker reset sberjazz --reason 'provider is back'\n\n"
    "agent-console doctor\n\n"
    "[bold]Exit codes[/]  0 ok, 1 error, 2 usage, 3 gateway or room away, 4 key not known, "
    "5 key not allowed",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a key may be among them
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object per line, with the contract's field names.")]
Watching = Annotated[
    bool,
    typer.Option(
        "--watch", help="Go on until Ctrl-C: a line when the state of a row changes, with --json on every change."
    ),
]


@dataclass(frozen=True, slots=True)
class Options:
    """What was given before the command."""

    target: str | None
    key: str | None
    key_file: Path | None
    tenant: str = ""
    ca_file: Path | None = None

    def connection(self) -> Connection:
        """Settle where to connect, or end the program with a sentence."""
        try:
            return find_connection(self.target, self.key, self.key_file, self.tenant, self.ca_file)
        except SettingsError as error:
            _refuse(*error.problems)
        except OSError as error:
            _refuse(f"cannot read the key file {self.key_file}: {error.strerror}")
        except UnicodeDecodeError:
            _refuse(f"the key file {self.key_file} is not text")


@app.callback()
def console(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(
            help="gRPC address of the gateway; without it GATEWAY_TARGET, else the mesh that runs on this machine, "
            "else 127.0.0.1:8011.",
            metavar="HOST:PORT",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Service key; without it the first of SERVICE_API_KEYS. Others on this machine can see it here: "
            "prefer --key-file.",
            metavar="KEY",
        ),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="File that holds the service key.", metavar="FILE")] = None,
    tenant: Annotated[
        str,
        typer.Option(
            help="Act for this tenant, with a service key that is not bound to another; what has no tenant "
            "(rooms, queues, breakers, live sessions) is shown as ever.",
            metavar="NAME",
        ),
    ] = "",
    ca_file: Annotated[
        Path | None,
        typer.Option(
            help="Talk TLS to a gateway whose certificate is of the authority in this file; without it "
            "GRPC_TLS_CA_FILE.",
            metavar="FILE",
        ),
    ] = None,
    theme: Annotated[
        Literal["dark", "light", "ansi"] | None,
        typer.Option(help="Colours; ansi takes the terminal's own 16; without it AGENT_CONSOLE_THEME, else dark."),
    ] = None,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
    no_mouse: Annotated[
        bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal, for selecting text.")
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Full screen without orders, whatever the key may do; to show around.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """Options before the command."""
    if version:
        typer.echo(installed_version("interview-analytics-agent"))
        raise typer.Exit
    if key is not None and key_file is not None:
        _refuse("--key and --key-file exclude each other")
    if tenant and not is_tenant_id(tenant):
        _refuse("--tenant is no name of a tenant: up to 64 letters, digits and ._-")
    context.obj = options = Options(target, key, key_file, tenant, ca_file)
    if context.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # the screen is drawn on stderr
        _refuse("the full screen needs a terminal; for scripts: agent-console sessions --json")
    try:
        (settings,) = load(ConsoleSettings)
    except SettingsError as error:
        _refuse(*error.problems)
    _open(
        options.connection(),
        settings,
        theme,
        ascii_only=ascii_only,
        mouse=settings.mouse and not no_mouse,
        read_only=read_only,
    )


@app.command()
def sessions(context: typer.Context, json: Json = False, watch: Watching = False) -> None:
    """List the live sessions, those in need first."""
    _list(context, "sessions", json=json, watch=watch)


@app.command("services")
@app.command("rooms", hidden=True)
def services(context: typer.Context, json: Json = False, watch: Watching = False) -> None:
    """List the services, which we call rooms: one line per process of the mesh."""
    _list(context, "rooms", json=json, watch=watch)


@app.command()
def queues(context: typer.Context, json: Json = False, watch: Watching = False) -> None:
    """List the queues with their depth and dead letters."""
    _list(context, "queues", json=json, watch=watch)


@app.command()
def breakers(context: typer.Context, json: Json = False, watch: Watching = False) -> None:
    """List the circuit breakers."""
    _list(context, "breakers", json=json, watch=watch)


@app.command()
def audit(
    context: typer.Context,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what is new until Ctrl-C.")] = False,
    limit: Annotated[int, typer.Option(help="Decisions at most.", min=1, max=500)] = 50,
    outcome: Annotated[str, typer.Option(help="Only this outcome: allow or deny.", metavar="OUTCOME")] = "",
    subject: Annotated[str, typer.Option(help="Only what this caller did.", metavar="WHO")] = "",
    endpoint: Annotated[str, typer.Option(help="Only paths that start like this.", metavar="PATH")] = "",
) -> None:
    """List who was let in and who was not, and what operators did; the newest stands last."""
    from tui.asking import run_audit

    asked = run_audit(
        _connect(context),
        json=json,
        watch=watch,
        limit=limit,
        outcome=outcome,
        subject=subject,
        endpoint=endpoint,
    )
    _run(asked)


@app.command()
def tail(
    context: typer.Context,
    meeting: Annotated[str, typer.Argument(metavar="MEETING", help="Identifier of the meeting.")],
    json: Annotated[bool, typer.Option("--json", help="Every event as a JSON object, interim text aside.")] = False,
) -> None:
    """Write what is said in a meeting, as it becomes final, until the meeting is over."""
    from tui.asking import run_tail

    _run(run_tail(_connect(context), meeting, json=json))


@app.command()
def logs(
    context: typer.Context,
    json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", "--watch", "-f", help="Go on with what is new.")] = False,
    level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="Only lines of this level and above.")
    ] = None,
    room: Annotated[
        list[str] | None, typer.Option(help="Only this room's lines; may be given again.", metavar="NAME")
    ] = None,
    contains: Annotated[
        str, typer.Option(help="Only lines with this text in the message or a value.", metavar="TEXT")
    ] = "",
    lines: Annotated[int, typer.Option(help="Lines from before, of all rooms together.", min=1, max=1000)] = 100,
) -> None:
    """Write the log lines of every room by time; the newest stands last."""
    from tui.logs_listing import run_logs

    asked = run_logs(
        _connect(context),
        level=level or "",
        rooms=room or (),
        contains=contains,
        lines=lines,
        json=json,
        follow=follow,
    )
    _run(asked)


@app.command()
def whoami(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Say who the gateway takes you for, and what you may do."""
    from tui.asking import run_whoami

    _run(run_whoami(_connect(context), json=json))


@app.command()
def doctor(context: typer.Context) -> None:
    """Check the way to the gateway, every room, the storage and the queues."""
    from tui.doctor import run_doctor

    _run(run_doctor(_connect(context)))


def _connect(context: typer.Context) -> Connection:
    options: Options = context.find_root().obj
    return options.connection()


def _find(context: typer.Context) -> Callable[[], Connection]:
    options: Options = context.find_root().obj
    _connect(context)  # what is wrong is said before anything starts
    return partial(find_connection, options.target, options.key, options.key_file, options.tenant)


def _list(context: typer.Context, topic: str, *, json: bool, watch: bool) -> None:
    from tui.listing import run_listing

    _run(run_listing(_connect(context), topic, json=json, watch=watch))


def _open(
    connection: Connection,
    settings: ConsoleSettings,
    theme: str | None,
    *,
    ascii_only: bool,
    mouse: bool,
    read_only: bool,
) -> None:
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")  # over SSH every step in between is felt
    from tui.app import run_console
    from tui.glyphs import choose_glyphs

    glyphs = choose_glyphs("ascii" if ascii_only else settings.glyphs, locale.getpreferredencoding(False), os.environ)
    _run(
        run_console(
            connection,
            glyphs=glyphs,
            theme=theme or settings.theme,  # type: ignore[arg-type]  # typer has checked it
            mouse=mouse,
            max_hz=settings.max_hz,
            read_only=read_only,
        )
    )


def _run(work: Coroutine[Any, Any, Any]) -> None:
    from tui.errors import ConsoleError

    try:
        asyncio.run(work)
    except* ConsoleError as failures:
        failure = _first(failures)
        typer.echo(f"agent-console: {failure}", err=True)
        code = failure.exit_code if isinstance(failure, ConsoleError) else 1
    except* BrokenPipeError:
        # The reader has had enough, as `head` does. Nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except* KeyboardInterrupt:
        code = 0
    else:
        return
    raise typer.Exit(code)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf


def _refuse(*sentences: str) -> NoReturn:
    for sentence in sentences:
        typer.echo(f"agent-console: {sentence}", err=True)
    raise typer.Exit(2)


add_orders(app, _connect, _run, _refuse)
add_serving(app, _find, _refuse)
