"""One session: how its recorder does, who is heard, what became of their audio, and what is said."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from kit.clock import monotonic
from tui.condition import lag_style, session_condition
from tui.glyphs import gauge, spark_line
from tui.quantities import count, duration, milliseconds
from tui.rows import SessionRow, VoiceRow
from tui.screens.session_orders import ask_to_leave, reconnect_order
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.transcript import Transcript
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.facts import Facts
from tui.widgets.runs import Runs, fit
from tui.widgets.sheet_table import SheetTable, text_column
from tui.widgets.transcript_log import TranscriptLog

if TYPE_CHECKING:
    from tui.desk import Desk

_LOUDEST = 255
_LAG_SAMPLES = 120


class Voices(SheetTable[VoiceRow]):
    """The participants; `join` brings their rows up to date before each look at them."""

    def __init__(self, join: Callable[[], None], *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._join = join

    def pulse(self) -> None:
        self._join()
        super().pulse()


class Session(ViewScreen):
    """A detail above the view that it was opened from; esc and q go back."""

    PLACE = "session"
    BINDING_GROUP_TITLE = "Session"
    ASK_SECONDS = 2.0
    ORDERS = frozenset({"reconnect", "leave"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", tooltip="show all lines, then go back"),
        Binding("r", "reconnect", "Reconnect", tooltip="leave and join again"),
        Binding("x", "leave", "Leave", tooltip="take the recorder out"),
        Binding("l", "logs", "Logs", tooltip="the log lines about this meeting"),
    ]
    CSS = """
    Session Facts { height: 5; }
    Session #voices { height: 1fr; max-height: 9; min-height: 4; }
    Session #transcript { height: 3fr; }
    Session.-tiny #voices { display: none; }
    """

    def __init__(self, view: View, meeting_id: str) -> None:
        super().__init__(view)
        self.meeting_id = meeting_id
        self.transcript = Transcript(ascii_only=view.glyphs.is_ascii)
        self._voices: Sheet[VoiceRow] = Sheet()
        self._heard: Sequence[VoiceRow] = ()
        self._lags: deque[float] = deque(maxlen=_LAG_SAMPLES)
        self._sampled_at = 0.0
        self._last: SessionRow | None = None

    @property
    def place(self) -> str:
        return f"session {self.meeting_id}"

    @property
    def row(self) -> SessionRow | None:
        """The session as the stream has it; the last of it when it is gone."""
        self._last = self.view.tables.sessions.get(self.meeting_id) or self._last
        return self._last

    def above(self) -> Iterable[Widget]:
        yield Facts(self.view, self._facts, title="session", id="facts")

    def body(self) -> ComposeResult:
        yield Voices(
            self._join,
            self.view,
            self._voices,
            _columns(self.view),
            id="voices",
            title="participants",
            none="no recorder of this mesh hears anybody in this meeting",
        )
        yield TranscriptLog(self.view, self.transcript)

    def under(self) -> Iterable[Widget]:
        return ()

    def main_table(self) -> Widget:
        return self.query_one(TranscriptLog)

    def on_mount(self) -> None:  # beside that of every view, which Textual calls as well
        if self.view.desk is not None:
            following = self.view.desk.follow(self.meeting_id, self.transcript)
            self.run_worker(following, name="follow", exit_on_error=False)

    async def ask(self, desk: "Desk") -> None:
        async def joined() -> Sequence[VoiceRow]:
            self._heard = await desk.voices(self.meeting_id)
            return _joined(self._heard, self.transcript)

        await self._voices.fill(joined())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is said has one order only."""
        return False if action == "sort" else super().check_action(action, parameters)

    def action_back(self) -> None:
        if self.unzoom():
            return
        if self.view.filter:
            self.set_filter("")
        else:
            self.action_leave_screen()

    def action_leave_screen(self) -> None:
        self.leave()

    def action_copy(self) -> None:
        self._copy(self.meeting_id)

    def action_copy_command(self) -> None:
        self._copy(f"agent-console tail {quote(self.meeting_id)}")

    async def action_logs(self) -> None:
        await self.go("logs", self.meeting_id)

    def action_reconnect(self) -> None:
        if row := self.row:
            self.order(reconnect_order(row))

    async def action_leave(self) -> None:
        if row := self.row:
            await ask_to_leave(self, row)

    def _join(self) -> None:
        """Let coverage be seen as soon as the stream tells it."""
        if self.transcript.voices:
            self._voices.rows = {row.key: row for row in _joined(self._heard, self.transcript)}

    def _facts(self, width: int) -> Sequence[Runs]:
        row, glyphs = self.row, self.view.glyphs
        title = self.transcript.title or (row.title if row else "")
        state = self.transcript.state
        first: Runs = [(fit(title or "(no title)", min(width, 60), dots=glyphs.dots).rstrip(), "bold")]
        first.append((f"  {self.meeting_id}", "dim"))
        if row is None:
            return [first, [(f"{state or 'not live'}", "dim")], self._warnings(width)]
        if monotonic() - self._sampled_at >= 1.0:
            self._sampled_at = monotonic()
            self._lags.append(float(row.lag_ms))
        condition = session_condition(row)
        live = self.meeting_id in self.view.tables.sessions
        filled, rest = gauge(glyphs, row.level / _LOUDEST if live else 0.0, 10)
        second: Runs = [
            (f"{condition.mark(glyphs)} {condition.word if live else 'GONE'}", condition.style if live else "dim"),
            (f"  via {row.provider or glyphs.none}  tracks {row.tracks}  level ", "text"),
            (filled, "ok"),
            (rest, "track"),
            ("  lag ", "text"),
            (f"{milliseconds(row.lag_ms)} ", lag_style(row.lag_ms)),
            (spark_line(glyphs, list(self._lags), min(24, max(0, width - 80))).strip(), "dim"),
            (f"  words {count(row.words)}  age {duration(row.age_seconds)}", "text"),
        ]
        return [first, second, self._warnings(width, row.note)]

    def _warnings(self, width: int, note: str = "") -> Runs:
        said = "  ".join(text for text in (note, *self.transcript.warnings.values()) if text)
        return [(fit(said, width, dots=self.view.glyphs.dots), "warn")] if said else []


async def open_session(screen: Screen[Any], meeting_id: str | None) -> None:
    """Open the detail of a meeting above a screen; the keys that come behind wait for it."""
    view = getattr(screen, "view", None)
    if meeting_id is not None and isinstance(view, View):
        detail = Session(view, meeting_id)
        view.place = detail.place
        await screen.app.push_screen(detail)


def _joined(heard: Sequence[VoiceRow], told: Transcript) -> list[VoiceRow]:
    """Join what the recorder hears with what the meeting tells: what became of the audio, and how loud it is."""
    rows = {row.key: row for row in told.voices.values()}
    for row in heard:
        known = rows.get(row.key)
        rows[row.key] = (
            replace(
                known,
                display_name=row.display_name or known.display_name,
                in_call=True,
                muted=row.muted,
                withdrawn=row.withdrawn,
                loss=row.loss,
            )
            if known
            else row
        )
    loud = [replace(row, level=told.level(row.participant_id)) for row in rows.values()]
    return sorted(loud, key=lambda row: (not row.in_call, row.display_name.casefold(), row.key))


def _columns(view: View) -> list[Column[VoiceRow]]:
    glyphs = view.glyphs

    def state(row: VoiceRow, width: int) -> Runs:
        if row.withdrawn:
            return [(f"{glyphs.stalled} WITHDREW", "warn")]
        if not row.in_call:
            return [(f"{glyphs.idle} OUT", "dim")]
        if row.muted:
            return [(f"{glyphs.idle} MUTED", "dim")]
        if row.loss >= _LOSSY:
            return [(f"{glyphs.warn} LOSSY", "warn")]
        return [(f"{glyphs.ok} ", "ok"), ("HEARD", "text")]

    def level(row: VoiceRow, width: int) -> Runs:
        filled, rest = gauge(glyphs, row.level / _LOUDEST, width)
        return [(filled, "ok"), (rest, "track")]

    def span(title: str, value: str, style: str = "text", drop: int = 0) -> Column[VoiceRow]:
        def text(row: VoiceRow) -> str:
            milliseconds_of = int(getattr(row, value))
            return duration(milliseconds_of // 1000) if milliseconds_of >= 1000 else ""

        return text_column(view, title, 7, text, style=style, right=True, drop=drop)

    return [
        Column("STATE", 10, state),
        text_column(view, "PARTICIPANT", 16, lambda row: row.display_name, style="bold", grow=1),
        Column("LEVEL", 7, level, drop=6, by=lambda row: row.level),
        text_column(
            view,
            "LOSS",
            5,
            lambda row: f"{row.loss:.0%}" if row.in_call and not row.muted else "",
            style=lambda row: "warn" if row.loss >= _LOSSY else "text",
            right=True,
        ),
        span("TEXT", "transcribed"),
        span("SILENT", "silent", "dim", 3),
        span("MUTED", "muted_ms", "dim", 4),
        span("FILLED", "concealed", "dim", 5),
        span("LOST", "lost", "error", 1),
        span("PENDING", "pending", "dim", 2),
    ]


_LOSSY = 0.03
