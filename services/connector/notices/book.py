"""The book of a call: notices as they come, written down behind the call's back so that nothing there waits."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from kit.clock import now
from kit.errors import Unavailable
from kit.telemetry import logs
from services.connector import metrics
from services.connector.notices.notice import Call, Notice, Notices

_RETRY_SECONDS = 1.0
_LAST_SECONDS = 10.0
_MOST = 4096
"""Participants of one session whose notices are kept: beyond any call, and a bound for one that is attacked."""

log = logs.get()


class NoticeBook:
    """What a session knows of its participants' consent; see `open_notice_book`. Nothing here waits.

    Args:
        known: what an earlier connector of the session wrote down.
    """

    def __init__(self, known: Iterable[Notice] = ()) -> None:
        self._notices = {notice.participant_id: notice for notice in known}
        self._unwritten: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def notices(self) -> Sequence[Notice]:
        """Everybody, in the order in which they were first heard of."""
        return list(self._notices.values())

    def find(self, participant_id: str) -> Notice | None:
        """Return what is known of a participant."""
        return self._notices.get(participant_id)

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        """A participant was told of the recording by "chat" or by the "roster"; the first time counts."""
        notice = self._notice(participant_id)
        if notice.told_time is None:
            metrics.NOTICES.labels(channel).inc()
            self._put(replace(notice, display_name=display_name, channel=channel, told_time=now()))

    def withdrew(self, participant_id: str, display_name: str = "", *, after: datetime | None = None) -> Notice:
        """A participant withdrew from the recording; `after` is when another replica was told so."""
        notice = self._notice(participant_id)
        if not notice.withdrawn:
            metrics.WITHDRAWALS.inc()
            name = notice.display_name or display_name
            notice = replace(notice, display_name=name, withdrawn_time=_after(notice.consented_time, after))
            self._put(notice)
        return notice

    def heeds(self, notice: Notice) -> bool:
        """Return whether a withdrawal that another replica wrote down is news, and not taken back since."""
        known = self._notice(notice.participant_id)
        if known.withdrawn or notice.withdrawn_time is None:
            return False
        return known.consented_time is None or known.consented_time < notice.withdrawn_time

    def consented(self, participant_id: str) -> None:
        """A participant who had withdrawn consents again."""
        notice = self._notice(participant_id)
        if notice.withdrawn:
            self._put(replace(notice, consented_time=_after(notice.withdrawn_time)))

    async def keep(self, call: Call, notices: Notices) -> None:
        """Write down what changes, until cancelled; while the database is away, only the latest of each waits."""
        while True:
            await self._changed.wait()
            try:
                await self._write(call, notices)
            except Exception as error:  # the edge of a loop: the call goes on whatever the database says
                if isinstance(error, Unavailable):
                    log.warning("notices_not_written", error=str(error))
                else:
                    log.error("notices_not_written", exc_info=error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def keep_last(self, call: Call, notices: Notices) -> None:
        """Write down the rest, within 10 s."""
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                while self._unwritten:
                    try:
                        await self._write(call, notices)
                    except Unavailable:
                        await asyncio.sleep(_RETRY_SECONDS)
        except TimeoutError:
            log.error("last_notices_not_written", participants=len(self._unwritten))

    async def _write(self, call: Call, notices: Notices) -> None:
        self._changed.clear()
        writing, self._unwritten = self._unwritten, set()
        try:
            if writing:
                await notices.keep(call, [self._notices[participant_id] for participant_id in sorted(writing)])
        except BaseException:
            self._unwritten |= writing
            self._changed.set()
            raise

    def _notice(self, participant_id: str) -> Notice:
        return self._notices.get(participant_id) or Notice(participant_id)

    def _put(self, notice: Notice) -> None:
        if notice.participant_id not in self._notices and len(self._notices) >= _MOST:
            log.error("notice_book_full", participants=_MOST)
            return
        self._notices[notice.participant_id] = notice
        self._unwritten.add(notice.participant_id)
        self._changed.set()


@asynccontextmanager
async def open_notice_book(notices: Notices, call: Call) -> AsyncIterator[NoticeBook]:
    """Keep a session's book for the block, with what an earlier connector of the session wrote into it.

    Raises:
        Unavailable: the database is away; who must not be recorded is not known.
    """
    known = {notice.participant_id: notice for notice in await notices.of_session(call.tenant_id, call.session_id)}
    for participant_id in await notices.withdrawn(call.tenant_id, call.meeting_id):
        earlier = known.get(participant_id, Notice(participant_id))
        if not earlier.withdrawn:
            known[participant_id] = replace(earlier, withdrawn_time=_after(earlier.consented_time))
    book = NoticeBook(known.values())
    keeping = asyncio.create_task(book.keep(call, notices), name="connector.notices")
    try:
        yield book
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        try:
            await book.keep_last(call, notices)
        except Exception as error:  # the edge of a session: what it did not write down must not hide how it ended
            log.error("last_notices_not_written", exc_info=error)


def _after(*moments: datetime | None) -> datetime:
    """Return the present, which is later than the `moments` whatever the wall clock does."""
    return max([now(), *(moment + timedelta(microseconds=1) for moment in moments if moment is not None)])
