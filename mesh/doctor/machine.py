"""The machine: Python, processors, memory, clock; the data directory's disk, and the ports."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kit.clock import now
from mesh.address_book import read_address_book
from mesh.doctor.finding import Finding
from mesh.rooms import ROOMS, taken_ports

MIN_FREE_GIB = 2
MIN_MEMORY_GIB = 2
_NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
_STA_UNSYNC = 0x40
_STATUS_OFFSET = 40
"""Of `status` in the kernel's struct timex on 64-bit machines."""


def machine_findings() -> Iterator[Finding]:
    """What the mesh would run on."""
    found = ".".join(map(str, sys.version_info[:3]))
    new = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if new else "missing", found if new else f"{found}: 3.11 or newer is needed")
    cores = os.cpu_count() or 1
    yield Finding("cores", "ok" if cores > 1 else "note", str(cores))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    scarce = "" if memory >= MIN_MEMORY_GIB else ": little; take a small model (STT_MODEL=tiny)"
    yield Finding("memory", "note" if scarce else "ok", f"{memory:.1f} GiB{scarce}")
    yield _clock()


def place_findings(data: Path) -> Iterator[Finding]:
    """The data directory's disk, and the ports."""
    place = nearest(data)
    free = shutil.disk_usage(place).free / 2**30
    detail = f"{data}: {free:.1f} GiB free"
    if problem := unwritable(place):
        yield Finding("disk", "missing", f"{detail}, not writable ({problem}): choose another AGENT_DATA_DIR")
    elif free < MIN_FREE_GIB:
        yield Finding("disk", "missing", f"{detail}, {MIN_FREE_GIB} are needed: make room, or set AGENT_DATA_DIR")
    else:
        yield Finding("disk", "ok", detail)
    if read_address_book(data) is not None:
        yield Finding("ports", "ok", "a mesh runs here already")
        return
    taken = taken_ports(ROOMS)
    listed = ", ".join(f"{port} ({room.name})" for room, port in taken)
    yield Finding("ports", "note" if taken else "ok", f"in use: {listed}; use --free-ports" if taken else "free")


def nearest(path: Path) -> Path:
    """The path, or what is there of it."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def unwritable(directory: Path) -> str:
    """Why nothing can be written there; empty if it can. Tried, as permissions do not tell of read-only disks."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _clock() -> Finding:
    shown = f"{now():%Y-%m-%d %H:%M} UTC"
    if now() < _NOT_BEFORE:
        return Finding("clock", "missing", f"{shown}: wrong; tokens and certificates will be refused: set it")
    if not _synchronised():
        return Finding("clock", "note", f"{shown}, kept by nobody: install chrony or systemd-timesyncd")
    return Finding("clock", "ok", shown)


def _synchronised() -> bool:
    """Whether somebody keeps the kernel's clock right; True where it cannot be told."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except AttributeError:
        return True
    timex = ctypes.create_string_buffer(512)  # modes = 0: nothing is changed
    if adjtimex(timex) < 0:
        return True
    return not int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], sys.byteorder) & _STA_UNSYNC
