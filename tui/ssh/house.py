"""What stands behind the doors: the sessions, who may have one, and how all of them end."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import cast

from kit.clock import monotonic
from kit.settings import SettingsError
from kit.telemetry import logs
from tui.connection import Connection
from tui.ssh.commands import NotAllowed, Wanted, read_wanted
from tui.ssh.door import Door
from tui.ssh.environment import Launch, launch_of
from tui.ssh.role_keys import role_key
from tui.ssh.session import ENDED, Client, Session, say
from tui.ssh.settings import SshSettings
from tui.ssh.trail import SshTrail
from tui.ssh.users import User, UsersFile

_USAGE, _NO_KEY, _NOT_HERE = 2, 4, 126
_ROUND_SECONDS = 2.0
_STRANGERS = 4
"""Connections at most, as a multiple of sessions: those that have not logged in yet count."""
_FAREWELL_SECONDS = 5.0
_LAST_BYTES_SECONDS = 1.0

log = logs.get()


class SshHouse:
    """Runs the sessions.

    Args:
        settings: its own.
        site: what all children find in their environment.
        users: who may come in.
        trail: hears of everything.
        own: which gateway and key `agent-console` takes here by itself.
        tasks: in which sessions run.
    """

    def __init__(
        self,
        settings: SshSettings,
        site: Mapping[str, str],
        users: UsersFile,
        trail: SshTrail,
        own: Callable[[], Connection],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.users = users
        self.trail = trail
        self._settings = settings
        self._site = site
        self._own = own
        self._tasks = tasks
        self._doors: set[Door] = set()
        self._sessions: dict[Session, Door] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False

    def enter(self, door: Door) -> bool:
        """See `House`."""
        self._doors.add(door)
        return not self._closing and len(self._doors) <= _STRANGERS * self._settings.sessions

    def leave(self, door: Door) -> None:
        """See `House`."""
        self._doors.discard(door)

    def begin(self, client: Client) -> None:
        """Start what a client asks for on a channel."""
        task = self._tasks.create_task(self._serve(client), name="ssh.session")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def look_after(self) -> None:
        """Send away whoever is no longer in the users file, and connections that do nothing."""
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            for door in [door for door in self._doors if door.user is not None]:
                if not self._still_welcome(door.user):
                    self._end("you may no longer log in here", door)
                elif monotonic() - door.used_at < self._settings.login_grace_seconds:
                    continue
                if not door.sessions:
                    door.close()

    async def close(self) -> None:
        """End every session with a sentence, then every connection."""
        self._closing = True
        self._end("the server stops")
        if self._running:
            await asyncio.wait(set(self._running), timeout=_FAREWELL_SECONDS)
        for task in self._running:
            task.cancel()
        for door in list(self._doors):
            door.close()

    def _still_welcome(self, user: User | None) -> bool:
        return user is not None and self.users.find(user.key) == user

    def _end(self, why: str, door: Door | None = None) -> None:
        for session, its_door in self._sessions.items():
            if door in (None, its_door):
                session.end(why)

    async def _serve(self, client: Client) -> None:
        door = cast("Door", client.get_extra_info("connection").get_owner())
        try:
            code = await self._answer(client, door)
        except Exception as error:  # an edge: one session must not end the others
            log.error("ssh_session_failed", exc_info=error)
            code = 1
        client.exit(code)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await client.wait_closed()

    async def _answer(self, client: Client, door: Door) -> int:
        user = door.user
        assert user is not None
        if not self._still_welcome(user):
            return _tell(client, "you may no longer log in here", _NO_KEY)
        if client.subsystem is not None:
            self.trail.refused(user, f"subsystem {client.subsystem}", "not on the list")
            return _tell(client, "there are no subsystems here", _NOT_HERE)
        try:
            wanted = read_wanted(client.command or "")
        except NotAllowed as refusal:
            self.trail.refused(user, f"command {_program(client.command)}", "not on the list")
            return _tell(client, str(refusal), _NOT_HERE)
        if wanted.screen and client.term_type is None:
            return _tell(
                client, "the full screen needs a terminal (ssh -t); for scripts: ssh HOST sessions --json", _USAGE
            )
        what = f"command {client.command}" if not wanted.screen else "console"
        if self._closing or len(self._sessions) >= self._settings.sessions:
            self.trail.refused(user, what, "too many sessions")
            return _tell(client, "too many operators are here now", ENDED)
        launch = self._launch(client, user, wanted)
        if launch is None:
            self.trail.refused(user, what, "no key for the role")
            return _tell(client, f"this server has no key for {user.role}s", _NO_KEY)
        self.trail.ran(user, what)
        session = Session(client, launch, idle_seconds=60 * self._settings.idle_minutes)
        self._sessions[session] = door
        door.sessions += 1
        try:
            return await session.run()
        finally:
            del self._sessions[session]
            door.sessions, door.used_at = door.sessions - 1, monotonic()

    def _launch(self, client: Client, user: User, wanted: Wanted) -> Launch | None:
        try:
            key, connection = role_key(user.role, self._own), self._own()
        except (SettingsError, OSError, UnicodeDecodeError) as error:
            log.error("ssh_key_unreadable", role=user.role, cause=type(error).__name__)
            return None
        if key is None:
            return None
        said = client.env
        tenant = ("--tenant", connection.tenant) if connection.tenant else ()
        return launch_of(
            (*tenant, *wanted.arguments),
            target=connection.target,
            key=key,
            person=user.name,
            terminal=client.term_type,
            language=said.get("LC_ALL") or said.get("LC_CTYPE") or said.get("LANG") or "",
            site=self._site,
        )


def _tell(client: Client, sentence: str, code: int) -> int:
    say(client, sentence)
    return code


def _program(command: str | None) -> str:
    """Return what was to be run, without what was to be given to it: that may be a key."""
    return (command or "").strip().partition(" ")[0].partition("=")[0]
