"""The command line of `agent`."""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Literal

import typer

from kit import lifecycle
from kit.settings import CoreSettings, SettingsError, load
from mesh.rooms import ROOMS

app = typer.Typer(
    name="agent",
    help="Joins calls, writes down every second, transcribes live, reports with evidence.\n\n"
    "Start with `agent up`, or try `agent demo` and `agent transcribe FILE`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where database, audio and keys are kept. By default AGENT_DATA_DIR, or data."),
]
FreePorts = Annotated[bool, typer.Option("--free-ports", help="Take any free ports instead of the documented ones.")]


def _version(wanted: bool) -> None:
    """Answer while options are parsed: a command is not needed for this one."""
    if wanted:
        typer.echo(installed_version("interview-analytics-agent"))
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def up(
    data_dir: DataDir = None,
    free_ports: FreePorts = False,
    certificates: Annotated[
        Path | None,
        typer.Option(
            help="Rooms talk over TLS, each with its certificate of this directory; see `agent certificates`.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Start every room on this machine and keep it running; Ctrl-C drains them.

    Without DATABASE_URL it brings its own PostgreSQL; without SERVICE_API_KEYS it makes keys and keeps them in the
    data directory.
    """
    with _installed():
        from mesh.up import run_up

    _exit(
        lifecycle.run(
            "agent",
            lambda shutdown: run_up(shutdown, _data(data_dir), free_ports=free_ports, certificates=certificates),
        )
    )


@app.command()
def transcribe(
    file: Annotated[Path, typer.Argument(help="Any audio or video file.", exists=True, dir_okay=False)],
    format: Annotated[  # noqa: A002 (the option is called --format)
        Literal["txt", "json", "srt", "vtt"], typer.Option("--format", help="What to write.")
    ] = "txt",
    language: Annotated[str, typer.Option(help="Language, for example en or ru; found out if not given.")] = "",
    output: Annotated[Path | None, typer.Option(help="File to write to; standard output if not given.")] = None,
    stereo: Annotated[
        Literal["auto", "speakers", "mix"],
        typer.Option(help="What two channels are: a speaker each, one sound, or found out by listening."),
    ] = "auto",
    data_dir: DataDir = None,
) -> None:
    """Transcribe an audio file through the mesh: the one that runs on this machine, or one just for this.

    Stopped before the end, the same command goes on from there. A call recorded with a side per channel has two
    speakers.
    """
    with _installed():
        from mesh.transcribe import Transcription, run_transcribe

    job = Transcription(file, format, language, output, stereo)
    _exit(lifecycle.run("agent", lambda shutdown: run_transcribe(shutdown, job, _data(data_dir))))


@app.command()
def doctor() -> None:
    """Say what is missing on this machine and what to do about it."""
    from mesh.doctor.examination import run_doctor

    _exit(run_doctor())


@app.command()
def demo(
    language: Annotated[Literal["en", "ru"], typer.Option(help="Language of the sample interview.")] = "en",
    output: Annotated[Path, typer.Option(help="Folder for transcript, report and summary.")] = Path("build/demo"),
    seconds: Annotated[float | None, typer.Option(help="Only the beginning of the interview.", min=5)] = None,
) -> None:
    """Hold the sample interview as a real WebRTC call and show what comes of it.

    Two callers, one recorder, every room, a real database; only the voices are synthetic, and the speech model is a
    2 MB demonstration model that knows the interview's words.
    """
    with _installed():
        from mesh.demo.run import run_demo

    _exit(lifecycle.run("agent", lambda shutdown: run_demo(shutdown, language, output, seconds)))


@app.command()
def health(
    room: Annotated[str, typer.Argument(envvar="AGENT_ROOM", help="Name of the room.")],
) -> None:
    """Ask a room on this machine whether it serves; the exit status is the answer. For containers."""
    from mesh.health import run_health

    _exit(asyncio.run(run_health(room)))


@app.command()
def certificates(
    directory: Annotated[Path, typer.Argument(help="Where they are kept; made if it is not there.", file_okay=False)],
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address that every room's certificate bears too; may be given several times."),
    ] = None,
    days: Annotated[int, typer.Option(help="How long the certificates are good.", min=1, max=3650)] = 365,
) -> None:
    """Make certificates for TLS between rooms: an authority, and one for each room.

    Run again it renews the rooms' certificates and keeps the authority; rooms that run take them up by themselves.
    """
    from mesh.certificates import run_certificates

    _exit(run_certificates(directory, host or [], days))


audit = typer.Typer(help="The trail of who was let in and who was not.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.callback()
def about_audit() -> None:
    """Commands about the audit trail."""


@audit.command()
def verify(
    head: Annotated[str, typer.Option(help="A hash that the trail had at its end before, from the log.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Check the audit trail row by row: 0 if it is whole, 1 at the first row that was changed, removed or put in.

    Reads DATABASE_URL, or the node's own database; the rooms need not run.
    """
    with _installed():
        from mesh.audit import run_verify

    _exit(run_verify(_data(data_dir), head))


def _one_room(name: str, module: str) -> None:
    """Add the command that runs one room in this process, as containers do."""

    @app.command(name, help=f"Run the {name} room alone, in the foreground.", rich_help_panel="One room")
    def room() -> None:
        found = next(room for room in ROOMS if room.name == name)
        if not found.installed:
            sys.exit(f"agent: the {name} room is not installed; run: pip install 'interview-analytics-agent[{name}]'")
        sys.argv = [f"agent {name}"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


for _room in ROOMS:
    _one_room(_room.name, _room.module)


@contextmanager
def _installed() -> Iterator[None]:
    """Say what to install when the whole mesh is not here: a console or one room needs less."""
    try:
        yield
    except ModuleNotFoundError as error:
        sys.exit(f"agent: {error.name} is not installed; run: pip install 'interview-analytics-agent[all]'")


def _data(given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        (core,) = load(CoreSettings)
    except SettingsError as error:
        sys.exit("\n".join(f"agent: {problem}" for problem in error.problems))
    return core.agent_data_dir


def _exit(status: int) -> None:
    raise typer.Exit(status)
