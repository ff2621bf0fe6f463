"""The schedule of faults follows from its seed."""

from collections import Counter

from tests.chaos.monkey import KILLS, Appetite, schedule

LINKS = ("gateway>ingest-1", "ingest-1>postgres")


def test_the_same_seed_gives_the_same_faults():
    appetite = Appetite(50)
    assert schedule(7, appetite, LINKS, disk=True) == schedule(7, appetite, LINKS, disk=True)
    assert schedule(7, appetite, LINKS, disk=True) != schedule(8, appetite, LINKS, disk=True)


def test_every_kill_is_scheduled_and_every_room_gets_some():
    faults = [fault for burst in schedule(3, Appetite(200), LINKS, disk=True) for fault in burst.faults]
    kills = Counter(fault.target for fault in faults if fault.kind == "kill")
    assert kills.total() == 200
    assert kills.keys() == KILLS.keys()
    assert {fault.kind for fault in faults} == {"kill", "freeze", "restart", "reset", "stall", "cut", "fill"}


def test_a_disk_that_is_not_small_is_never_filled():
    faults = [fault for burst in schedule(3, Appetite(200), LINKS, disk=False) for fault in burst.faults]
    assert not [fault for fault in faults if fault.kind == "fill"]
