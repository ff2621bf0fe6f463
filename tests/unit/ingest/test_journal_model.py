"""The journal against a model: owners one after another, crashes at any byte, zombies that write on.

Everything that was acknowledged is there, in order and once; nothing is that was not written; and once an owner has
acknowledged something, nothing that another one had in hand comes back.
"""

import asyncio
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kit.errors import Unavailable
from services.ingest.errors import Fenced
from services.ingest.journal.fence import Fence
from services.ingest.journal.journal import Journal, JournalReader
from services.ingest.journal.part import SUFFIX
from services.ingest.journal.record import MAX_PAYLOAD_BYTES, Record, RecordKind, decode
from services.ingest.pulse import Pulse
from tests.effort import effort, explore

SIZES = (0, 1, 20, 300, 5_000, 5_000, 300_000, MAX_PAYLOAD_BYTES - 8)


@dataclass(eq=False)
class Owner:
    """Somebody who has, or had, the meeting."""

    fence: Fence
    journal: Journal
    pulse: Pulse
    found: list[Record]
    appended: list[Record] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    """Of what was appended."""

    @property
    def view(self) -> list[Record]:
        return self.found + self.appended


class JournalMachine(RuleBasedStateMachine):
    """A meeting's directory with one session, and everyone who ever took it up."""

    def __init__(self, runner: asyncio.Runner, executor: ThreadPoolExecutor) -> None:
        super().__init__()
        self.runner = runner
        self.executor = executor
        self.root = Path(tempfile.mkdtemp(prefix="agent-tests-journal-"))
        self.directory = self.root / "t" / "m"
        self.numbers = count(1)
        self.acknowledged: list[Record] = []
        self.dead: set[int] = set()
        """Numbers of records that may never come back."""
        self.ever: list[Record] = []
        self.zombies: list[Owner] = []
        self.late: list[Fence] = []
        """Of owners that were overtaken before they had read the journal."""
        self.whole: dict[Path, int] = {}
        self.owner = self.take_up(Fence.take(self.directory))

    # --- owners --------------------------------------------------------------------------------------------

    def take_up(self, fence: Fence) -> Owner:
        found: list[Record] = []

        def replay(record: Record, offset: int) -> bool:
            found.append(record)
            return True

        pulse = Pulse()
        return Owner(fence, Journal.open("s", fence, replay, pulse, self.executor), pulse, found)

    def change_owner(self) -> None:
        self.owner = self.take_up(Fence.take(self.directory))
        self.keep()
        found = self.owner.found
        assert found[: len(self.acknowledged)] == self.acknowledged
        numbers = [record.sequence for record in found]
        assert len(numbers) == len(set(numbers)), "a record came twice"
        assert not self.dead & set(numbers), "what nobody was promised came back"
        assert all(record in self.ever for record in found), "a record that nobody wrote"

    def keep(self) -> None:
        """Note that nothing that is in the files now may be lost any more: an owner has read it, or was told so."""
        self.whole = {path: path.stat().st_size for path in self.directory.glob(f"*{SUFFIX}")}

    async def commit(self, owner: Owner) -> None:
        committing = asyncio.create_task(owner.journal.commit_forever(0), name="tests.commit")
        try:
            await owner.journal.durable(owner.journal.end_offset)
        finally:
            committing.cancel()
            await asyncio.wait([committing])
            committing.cancelled() or committing.exception()

    # --- rules ---------------------------------------------------------------------------------------------

    @rule(sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=5), data=st.data())
    def append(self, sizes: list[int], data: st.DataObject) -> None:
        self.append_to(self.owner, sizes, data.draw(st.integers(0, 2)))

    def append_to(self, owner: Owner, sizes: list[int], track: int) -> None:
        for size in sizes:
            number = next(self.numbers)
            payload = number.to_bytes(8, "little") + bytes([number % 251]) * size
            record = Record(number, RecordKind.AUDIO if track else RecordKind.OPEN, track, payload)
            owner.offsets.append(owner.journal.append(record))
            owner.appended.append(record)
            self.ever.append(record)

    @rule()
    def acknowledge(self) -> None:
        owner = self.owner
        if not owner.journal.pending_bytes:
            return
        self.runner.run(self.commit(owner))
        assert owner.journal.durable_sequence == owner.appended[-1].sequence
        assert owner.view[: len(self.acknowledged)] == self.acknowledged
        self.acknowledged = list(owner.view)
        self.dead = {record.sequence for record in self.ever} - {record.sequence for record in owner.view}
        self.keep()

    @rule(data=st.data(), written=st.booleans())
    def crash(self, data: st.DataObject, written: bool) -> None:
        """The power goes: what was not synced may be there in part, as other bytes, as zeros, or not at all."""
        if written and self.owner.journal.pending_bytes:
            self.runner.run(self.commit(self.owner))
        self.owner.journal.close()
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            whole, size = self.whole.get(path, 0), path.stat().st_size
            if size > whole:
                self.spoil(path, whole, size, data)
        self.change_owner()

    def spoil(self, path: Path, whole: int, size: int, data: st.DataObject) -> None:
        how = data.draw(st.sampled_from(["cut", "zeros", "flip", "gone"]))
        place = data.draw(st.integers(whole, size - 1))
        content = path.read_bytes()
        if how == "gone" and whole == 0:
            path.unlink()
            return
        if how == "flip" and place >= 8:  # the first bytes say what kind of file it is: an alien one is left alone
            flipped = content[place] ^ (1 << data.draw(st.integers(0, 7)))
            path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        elif how == "zeros":
            path.write_bytes(content[:place] + bytes(size - place))
        else:
            path.write_bytes(content[:place])

    @rule(written=st.booleans())
    def take_over(self, written: bool) -> None:
        """Somebody else takes the meeting up while its owner sleeps, perhaps between a sync and its word."""
        if written and self.owner.journal.pending_bytes:
            self.runner.run(self.commit(self.owner))
        self.zombies.append(self.owner)
        self.change_owner()

    @rule()
    def overtake(self) -> None:
        """Two take the meeting up; the earlier one reads the journal later, or never."""
        self.zombies.append(self.owner)
        self.late.append(Fence.take(self.directory))
        self.change_owner()

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def read_late(self, data: st.DataObject) -> None:
        fence = data.draw(st.sampled_from(self.late))
        self.late.remove(fence)
        self.zombies.append(self.take_up(fence))

    @precondition(lambda self: self.zombies)
    @rule(data=st.data(), sizes=st.lists(st.sampled_from(SIZES[:6]), max_size=3))
    def zombie_goes_on(self, data: st.DataObject, sizes: list[int]) -> None:
        """It writes, as nobody can keep it from that, and finds out before it says anything."""
        zombie = data.draw(st.sampled_from(self.zombies))
        offset, sequence = zombie.journal.durable_offset, zombie.journal.durable_sequence
        if zombie.journal.failure is None:
            self.append_to(zombie, sizes, 1)
            if zombie.journal.pending_bytes:
                with pytest.raises(Fenced):
                    self.runner.run(self.commit(zombie))
        else:
            with pytest.raises(Unavailable):
                self.append_to(zombie, [1], 1)
        assert (zombie.journal.durable_offset, zombie.journal.durable_sequence) == (offset, sequence)

    @precondition(lambda self: self.acknowledged)
    @rule(track=st.integers(1, 2), data=st.data())
    def read_on(self, track: int, data: st.DataObject) -> None:
        """A reader that begins anywhere finds every durable record of its track from there on."""
        owner = self.owner
        written = [
            (offset, record)
            for offset, record in zip(owner.offsets, owner.appended, strict=True)
            if offset < owner.journal.durable_offset
        ]
        start = data.draw(st.integers(0, len(written)))
        offset = written[start][0] if start < len(written) else 0
        expected = [record for _, record in written[start:]] if start < len(written) else self.durable_view()
        expected = [record for record in expected if record.track in (0, track)]
        assert self.runner.run(self.read(offset, track, len(expected))) == expected

    async def read(self, offset: int, track: int, records: int) -> list[Record]:
        reader = JournalReader(self.owner.journal, self.owner.pulse, track, offset)
        found: list[Record] = []
        async with asyncio.timeout(10):
            while len(found) < records:
                found += await reader.next()
        return found

    def durable_view(self) -> list[Record]:
        owner = self.owner
        written = [
            record
            for offset, record in zip(owner.offsets, owner.appended, strict=True)
            if offset < owner.journal.durable_offset
        ]
        return owner.found + written

    # --- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def the_owner_reads_what_it_may_acknowledge(self) -> None:
        for track in (1, 2):
            expected = [record for record in self.durable_view() if record.track in (0, track)]
            assert list(self.owner.journal.durable_records(track)) == expected

    def teardown(self) -> None:
        """Whoever comes last finds it all."""
        self.owner.journal.close()
        self.change_owner()
        for one in (self.owner, *self.zombies):
            one.journal.close()
        shutil.rmtree(self.root)


def test_whatever_happens_to_owners_and_disks_the_journal_is_as_its_model_says() -> None:
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as executor:
        explore(lambda: JournalMachine(runner, executor), examples=40, steps=30)


records = st.builds(
    Record,
    sequence=st.integers(0, 2**64 - 1),
    kind=st.sampled_from(RecordKind),
    track=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=100),
)


@given(data=st.binary(max_size=400) | st.lists(st.binary(max_size=40), max_size=4).map(bytes(17).join), start=st.data())
@effort(300)
def test_bytes_that_nobody_wrote_are_no_record(data: bytes, start: st.DataObject) -> None:
    place = start.draw(st.integers(0, len(data) + 1))
    found = decode(data, place)
    assert found is None or found.record.encode() == data[found.start : found.end]


@given(written=st.lists(records, min_size=1, max_size=4), damage=st.data())
@effort(300)
def test_what_is_decoded_was_written_whatever_became_of_the_bytes(written: list[Record], damage: st.DataObject) -> None:
    whole = b"".join(record.encode() for record in written)
    content = bytearray(whole)
    for _ in range(damage.draw(st.integers(0, 3))):
        match damage.draw(st.sampled_from(["flip", "insert", "delete", "cut", "zeros"])):
            case "flip" if content:
                content[damage.draw(st.integers(0, len(content) - 1))] ^= 1 << damage.draw(st.integers(0, 7))
            case "insert":
                place = damage.draw(st.integers(0, len(content)))
                content[place:place] = damage.draw(st.binary(max_size=30))
            case "delete" if content:
                del content[damage.draw(st.integers(0, len(content) - 1))]
            case "cut":
                del content[damage.draw(st.integers(0, len(content))) :]
            case "zeros":
                content += bytes(damage.draw(st.integers(0, 60)))
    position = 0
    found: list[Record] = []
    while (one := decode(bytes(content), position)) is not None:
        found.append(one.record)
        position = one.end
    assert all(record in written for record in found)
