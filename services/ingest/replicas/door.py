"""The door: whether a meeting is this replica's to serve, another's, or nobody's yet.

Any replica takes any call. A call for another's meeting is forwarded once: it carries a mark, and a marked call that
arrives at a replica which is not the owner either is sent back to be tried again.
"""

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Protocol

from kit.auth.principal import Principal, current_principal
from kit.db.engine import DatabaseUnavailable
from services.ingest.errors import Draining, MeetingElsewhere, MeetingFinished
from services.ingest.intake.session import MeetingKey

FORWARDED = "x-forwarded-subject"
"""Metadata of a call that a replica forwards: who called there. Only a service's word counts."""

_MOST_KNOWN = 4_096


class Owner(Protocol):
    """The replica that keeps a meeting."""

    @property
    def replica_id(self) -> str: ...

    @property
    def address(self) -> str:
        """Where other replicas reach it."""

    @property
    def mine(self) -> bool:
        """Whether it is this one."""


class Replicas(Protocol):
    """Who owns what, by the database."""

    async def claim(self, key: MeetingKey) -> Owner:
        """Return a meeting's owner; this replica becomes it if there was none that lives."""

    async def owner(self, key: MeetingKey) -> Owner | None:
        """Return a meeting's owner, None if there is none that lives."""


class Live(Protocol):
    """The meetings that are live here."""

    def find(self, key: MeetingKey) -> object | None: ...


class Door:
    """Decides where a call goes."""

    def __init__(self, live: Live, replicas: Replicas, draining: asyncio.Event) -> None:
        self._live = live
        self._replicas = replicas
        self._draining = draining
        self._known: OrderedDict[MeetingKey, Owner] = OrderedDict()

    async def elsewhere(self, key: MeetingKey, context: Any) -> Owner | None:
        """Return the replica that a question about a meeting is for, None if this one answers it.

        Raises:
            MeetingElsewhere: the call was forwarded to us and the meeting is not here.
            DatabaseUnavailable: the meeting is not live here, and the database is away.
        """
        if self._live.find(key) is not None:
            return None
        owner = await self._replicas.owner(key)
        if owner is not None and owner.mine:
            return None
        if forwarded_for(context) is not None:
            raise MeetingElsewhere(key.meeting_id, owner.address if owner else "")
        return owner

    async def takes(self, key: MeetingKey, context: Any) -> Owner | None:
        """Return the replica that takes a meeting's audio, None if it is this one; nobody's becomes ours.

        With the database away a session goes on at the owner that is known: audio does not wait for PostgreSQL.

        Raises:
            MeetingElsewhere: as above.
            DatabaseUnavailable: no owner is known, and the database is away.
            Draining: this replica is stopping and takes nothing up.
            MeetingNotFound: there is none for this tenant.
        """
        if forwarded_for(context) is not None:
            return await self.elsewhere(key, context)
        if self._live.find(key) is not None:
            return None
        if self._draining.is_set():
            raise Draining
        try:
            owner = await self._replicas.claim(key)
        except MeetingFinished:
            return None  # who asks gets the same answer everywhere, and a session that had ended its last word
        except DatabaseUnavailable:
            if key not in self._known:
                raise
            return self._known[key]
        if owner.mine:
            return None
        self._known[key] = owner
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return owner


def forwarded_for(context: Any) -> str | None:
    """Return who made a call at the replica that forwarded it, None if it came from the caller itself."""
    caller = current_principal()
    if caller.kind != "service" and not caller.trusted:
        return None
    for key, value in context.invocation_metadata() or ():
        if key == FORWARDED:
            return str(value)
    return None


def caller_of(context: Any) -> Principal:
    """Return who calls; for a forwarded call the one who made it, who is to stand in records."""
    principal = current_principal()
    subject = forwarded_for(context)
    return principal if subject is None else replace(principal, subject=subject)
