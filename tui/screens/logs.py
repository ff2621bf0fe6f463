"""The log of the mesh: the lines of every room by time, as they are written."""

from shlex import quote
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from tui.logs import LogLines
from tui.logs_following import follow_logs
from tui.screens.view_screen import ViewScreen
from tui.view import View
from tui.widgets.log_fields import LogFields
from tui.widgets.log_view import LogView

_BACKLOG = 500
_LINGER_SECONDS = 1.0  # a dialog or another view that is only glanced at must not cost a new stream


class Logs(ViewScreen):
    """Lines are asked for while the view is shown; those that are known stay."""

    PLACE = "logs"
    BINDING_GROUP_TITLE = "Logs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "fields", "Fields", key_display="enter", tooltip="every field of the line"),
        Binding("l", "level", "Level", tooltip="show from this level on"),
        Binding("escape", "close", "Close", show=False, tooltip="close the fields, then clear the filter"),
    ]
    CSS = """
    Logs #log { height: 2fr; }
    Logs #fields { height: 1fr; min-height: 6; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.lines = LogLines(ascii_only=view.glyphs.is_ascii)
        self._following = False

    def body(self) -> ComposeResult:
        yield LogView(self.view, self.lines)
        yield LogFields(self.view)

    def under(self) -> tuple[Widget, ...]:
        return ()

    def main_table(self) -> Widget:
        return self.query_one(LogView)

    def on_screen_resume(self) -> None:  # beside that of every view, which Textual calls as well
        if self.view.desk is not None and not self._following:
            self._following = True
            following = follow_logs(self.view.desk, self.lines, backlog=_BACKLOG)
            self.run_worker(following, name="logs", group="logs", exclusive=True, exit_on_error=False)

    def on_screen_suspend(self) -> None:
        self.set_timer(_LINGER_SECONDS, self._rest)

    def on_log_view_cursor_moved(self) -> None:
        self._show_fields()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Lines stand in the order of their times."""
        return False if action in {"sort", "turn_order"} else super().check_action(action, parameters)

    def action_level(self) -> None:
        self.query_one(LogView).next_level()

    def action_fields(self) -> None:
        fields = self.query_one(LogFields)
        fields.toggle_class("open")
        if not fields.opened:
            self.set_focus(self.main_table())
        self.call_after_refresh(self._show_fields)

    def action_close(self) -> None:
        if self.query_one(LogFields).opened:
            self.action_fields()
        else:
            self.action_clear_filter()

    def action_copy(self) -> None:
        row = self.query_one(LogView).cursor
        self._copy(None if row is None else row.trace_id or f"{row.moment} {row.room} {row.message} {row.details}")

    def action_copy_command(self) -> None:
        row, log = self.query_one(LogView).cursor, self.query_one(LogView)
        about = row.trace_id if row is not None and row.trace_id else self.view.filter.text
        level = f" --level {log.min_level}" if log.min_level else ""
        self._copy(f"agent-console logs{level}{f' --contains {quote(about)}' if about else ''}")

    def _show_fields(self) -> None:
        fields = self.query_one(LogFields)
        if fields.opened:
            fields.show(self.query_one(LogView).cursor)

    def _rest(self) -> None:
        """Let the stream go when the operator looks at something else."""
        if self._following and self not in self.app.screen_stack:
            self._following = False
            self.workers.cancel_group(self, "logs")
