"""Metrics: a Prometheus page per room, and the readiness gauge that every room has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY, CollectorRegistry, Gauge, start_http_server

from kit.lifecycle import StartError
from kit.settings.address import split_address as address_parts

SYSTEM_READINESS = Gauge("agent_system_readiness", "Whether every readiness check of the room passes (1) or not (0).")


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`; IPv6 hosts stand in brackets.

    Raises:
        StartError: the address has another form.
    """
    try:
        return address_parts(address)
    except ValueError as error:
        raise StartError(f"{address!r} is {error}") from None


@asynccontextmanager
async def open_metrics(listen: str, *, registry: CollectorRegistry = REGISTRY) -> AsyncIterator[int]:
    """Serve `/metrics` on `listen` (`host:port`) from a thread for the block; yields the port.

    Raises:
        StartError: the address is taken or not this machine's.
    """
    host, port = split_address(listen)
    try:
        server, thread = start_http_server(port, host, registry=registry)
    except OSError as error:
        raise StartError(f"cannot serve metrics on {listen}: {error.strerror or error}") from error
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
