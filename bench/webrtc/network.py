"""A network that loses packets: two namespaces and iptables where the bench is root, a relay on loopback elsewhere."""

import asyncio
import os
import random
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, cast

_SUBNET = "10.203.{}.{}"
_CANDIDATE = re.compile(r"^a=candidate:(\S+) 1 udp (\d+) (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*\r\n", re.M | re.I)
_ANY_CANDIDATE = re.compile(r"^a=candidate:.*\r\n", re.M)


class Network(Protocol):
    """What lies between the sender and the receiver."""

    kind: str
    sender: Sequence[str]
    """What stands before the sender's command."""
    receiver: Sequence[str]

    async def offer(self, sdp: str) -> str:
        """Return the offer as the receiver gets it."""

    async def answer(self, offer: str, sdp: str) -> str:
        """Return the answer to `offer` (as the receiver got it) as the sender gets it."""

    def lose(self, share: float) -> None:
        """Lose this share of what goes to the receiver from now on."""


@asynccontextmanager
async def lossy_network() -> AsyncIterator[Network]:
    """Have a network for the block, and say which."""
    if os.geteuid() != 0:
        why = "this is not root"
    elif not shutil.which("ip") or not shutil.which("iptables"):
        why = "`ip` or `iptables` is not installed (packages iproute2 and iptables)"
    else:
        namespaces = Namespaces()
        try:
            namespaces.make()
        except subprocess.CalledProcessError as error:
            namespaces.remove()
            why = f"the kernel refuses: {error.stderr.strip() or error}"
        else:
            try:
                yield namespaces
            finally:
                namespaces.remove()
            return
    print(f"no network namespaces, {why}: packets are lost by a relay on loopback instead of by iptables")
    relay = Relay()
    try:
        yield relay
    finally:
        relay.close()


class Namespaces:
    """Two network namespaces on one cable; iptables drops at the receiver's end."""

    kind = "iptables in a network namespace"

    def __init__(self) -> None:
        mark = os.getpid() % 10_000
        self._names = [f"bench-s{mark}", f"bench-r{mark}"]
        self._ends = [f"bs{mark}", f"br{mark}"]
        self.sender: Sequence[str] = ("ip", "netns", "exec", self._names[0])
        self.receiver: Sequence[str] = ("ip", "netns", "exec", self._names[1])

    def make(self) -> None:
        """Make them.

        Raises:
            subprocess.CalledProcessError: the system does not let us.
        """
        for name in self._names:
            _call("ip", "netns", "add", name)
        _call("ip", "link", "add", self._ends[0], "type", "veth", "peer", "name", self._ends[1])
        for number, (name, end) in enumerate(zip(self._names, self._ends, strict=True), 1):
            _call("ip", "link", "set", end, "netns", name)
            _call("ip", "-n", name, "address", "add", _SUBNET.format(os.getpid() % 250, number) + "/30", "dev", end)
            _call("ip", "-n", name, "link", "set", "lo", "up")
            _call("ip", "-n", name, "link", "set", end, "up")
        self.lose(0.5)  # whether the kernel knows how
        self.lose(0.0)

    def remove(self) -> None:
        """Remove them, and the cable with them."""
        for name in self._names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    async def offer(self, sdp: str) -> str:
        """Return the offer as it is."""
        return sdp

    async def answer(self, offer: str, sdp: str) -> str:
        """Return the answer as it is."""
        return sdp

    def lose(self, share: float) -> None:
        """Lose this share of the datagrams that arrive."""
        _call(*self.receiver, "iptables", "-F", "INPUT")
        if share > 0:
            _call(
                *self.receiver, "iptables", "-A", "INPUT", "-p", "udp",
                "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP",
            )  # fmt: skip


class Relay:
    """A relay in this process: each end sees the other at an address of the relay's, which passes on or drops."""

    kind = "a relay on loopback"
    sender: Sequence[str] = ()
    receiver: Sequence[str] = ()

    def __init__(self) -> None:
        self._share = 0.0
        self._dice = random.Random(5)
        self._waiting: dict[str, tuple[_End, tuple[str, int]]] = {}
        self._ends: list[_End] = []

    async def offer(self, sdp: str) -> str:
        """Put an address of ours in place of the sender's."""
        end = await self._end()
        changed, origin = _through(sdp, end.port)
        self._waiting[changed] = end, origin
        return changed

    async def answer(self, offer: str, sdp: str) -> str:
        """Put an address of ours in place of the receiver's, and pass on between the two."""
        towards_sender, sender = self._waiting.pop(offer)
        towards_receiver = await self._end()
        changed, receiver = _through(sdp, towards_receiver.port)
        # What the sender sends arrives at the one and leaves from the other, as through a box between two networks.
        towards_receiver.pass_on(towards_sender, receiver, self._lost)
        towards_sender.pass_on(towards_receiver, sender, lambda: False)
        return changed

    def lose(self, share: float) -> None:
        """Lose this share from now on."""
        self._share = share

    def close(self) -> None:
        """Close every socket."""
        for end in self._ends:
            end.close()

    def _lost(self) -> bool:
        return self._dice.random() < self._share

    async def _end(self) -> "_End":
        end = _End()
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: end, local_addr=("127.0.0.1", 0))
        self._ends.append(end)
        return end


class _End(asyncio.DatagramProtocol):
    """One socket of the relay: what arrives here leaves from the other one."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._other: _End | None = None
        self._target = ("", 0)
        self._lost: Callable[[], bool] = lambda: False

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def pass_on(self, other: "_End", target: tuple[str, int], lost: Callable[[], bool]) -> None:
        """Send what arrives from `other` to `target`."""
        self._other, self._target, self._lost = other, target, lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Pass on, or drop."""
        if self._other is not None and self._other._transport is not None and not self._lost():
            self._other._transport.sendto(data, self._target)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


def _through(sdp: str, port: int) -> tuple[str, tuple[str, int]]:
    """Leave one candidate in a description, at `port` of loopback; returns it and the candidate that stood there."""
    found = _CANDIDATE.search(sdp)
    if found is None:
        raise ValueError("the description has no UDP candidate of its own")
    kept = f"a=candidate:{found[1]} 1 udp {found[2]} 127.0.0.1 {port} typ host\r\n"
    first = True

    def replace(_: re.Match[str]) -> str:
        nonlocal first
        line, first = (kept if first else ""), False
        return line

    return _ANY_CANDIDATE.sub(replace, sdp), (found[3], int(found[4]))


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
