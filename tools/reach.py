"""The gateway that a tool calls: of a mesh of its own, one that is named, or the one of this machine."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from kit.lifecycle import StartError
from mesh.address_book import read_address_book
from mesh.child import ChildFailed
from mesh.mesh import open_mesh, why_it_failed

_DEFAULT_URL = "http://localhost:8010"


class NothingToCall(Exception):
    """There is no mesh, or no key for it; the message says what to give."""


class Refused(Exception):
    """An answer that is none; the message has the gateway's own words.

    Args:
        status: of HTTP; 0 when the gateway did not answer at all.
        reason: of the problem, a value of the contract's ErrorReason; empty if it has none.
    """

    def __init__(self, sentence: str, status: int = 0, reason: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where a mesh is, and who we are there."""

    url: str
    user_key: str
    service_key: str = ""

    @property
    def socket_url(self) -> str:
        """Address for WebSockets."""
        return "ws" + self.url.removeprefix("http")


def add_options(parser: argparse.ArgumentParser, *, service: bool) -> None:
    """Add the options that say which gateway is meant; `service` where a service's key is of use."""
    parser.add_argument("--start", action="store_true", help="start a mesh on free ports for it, gone afterwards")
    parser.add_argument("--base-url", default="", metavar="URL", help=f"gateway of a mesh that runs ({_DEFAULT_URL})")
    parser.add_argument("--api-key", default="", help="a user's key or token")
    if service:
        parser.add_argument("--service-key", default="", help="a service's key or token")


@asynccontextmanager
async def open_gateway(
    asked: argparse.Namespace, build: Path, environment: Mapping[str, str], progress: Callable[[str], None]
) -> AsyncIterator[Gateway]:
    """Give the gateway to call for the block: with --start of a mesh of our own, which is gone afterwards.

    Args:
        asked: the options of `add_options`.
        build: where a mesh of our own may have its directory; it stays there, with the logs, when it did not start.
        environment: variables of its rooms; those of this process count more.
        progress: told each step of its start.

    Raises:
        NothingToCall: no key was given.
        StartError: a mesh of our own did not start.
    """
    if not asked.start:
        yield _named(asked)
        return
    build.mkdir(exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="tool-", dir=build))
    data.chmod(0o711)  # PostgreSQL may run as a user of its own
    variables = {name: os.environ.get(name) or value for name, value in environment.items()}
    opening = open_mesh(data, free_ports=True, environment={"AUTH_MODE": "api_key", **variables}, progress=progress)
    try:
        async with opening as mesh:
            yield Gateway(mesh.url, mesh.keys.user, mesh.keys.service)
    except* ChildFailed as group:
        raise StartError(
            "\n".join(why_it_failed(each) for each in group.exceptions if isinstance(each, ChildFailed))
        ) from group
    shutil.rmtree(data, ignore_errors=True)


def _named(asked: argparse.Namespace) -> Gateway:
    book = read_address_book(Path(os.environ.get("AGENT_DATA_DIR", "data"))) or {}
    user = asked.api_key or _first("API_KEYS") or book.get("user_key", "")
    if not user:
        raise NothingToCall("--api-key is needed (or API_KEYS in the environment, or --start for a mesh of its own)")
    service = getattr(asked, "service_key", "") or _first("SERVICE_API_KEYS") or book.get("service_key", "")
    return Gateway((asked.base_url or book.get("url") or _DEFAULT_URL).rstrip("/"), user, service)


def _first(variable: str) -> str:
    """Return the first of the keys that a variable holds."""
    return os.environ.get(variable, "").split(",")[0].strip()


def shown(key: str) -> dict[str, str]:
    """Return the headers that show a key or a token; a token of an identity provider has three parts."""
    if not key:
        return {}
    return {"authorization": f"Bearer {key}"} if key.count(".") == 2 else {"x-api-key": key}


async def ask(
    http: httpx2.AsyncClient,
    key: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    content: bytes | None = None,
    query: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make a request and return the JSON object that answers it.

    Args:
        http: a client at the gateway's address.
        key: credentials; empty for none.
        method: of HTTP.
        path: of the API.
        body: sent as JSON.
        content: sent as a WAV file instead.
        query: parameters beside the path.

    Raises:
        Refused: the answer was no success, or did not come.
    """
    headers = shown(key) | ({"content-type": "audio/wav"} if content is not None else {})
    try:
        answer = await http.request(method, path, json=body, content=content, params=query, headers=headers)
    except httpx2.HTTPError as error:
        raise Refused(f"{method} {path}: no answer ({str(error) or type(error).__name__})") from error
    try:
        found = answer.json()
    except ValueError:
        found = None
    if answer.is_success and isinstance(found, dict):
        return found
    problem = found if isinstance(found, dict) else {}
    said = problem.get("detail") or problem.get("title") or answer.reason_phrase
    raise Refused(f"{method} {path}: {answer.status_code} {said}", answer.status_code, str(problem.get("reason", "")))
