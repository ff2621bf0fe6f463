"""The /v1/admin/* contours of a gateway: each answers its service, says nothing is broken, and refuses everybody else.

The list is that of openapi/openapi.json, so a new contour is looked at without a line here. Nothing is changed: what
reads is called; of what writes only the lock on the door is tried, with a person's key and with none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from tools.reach import Gateway, Refused, ask, shown

_OPENAPI = Path(__file__).resolve().parent.parent / "openapi" / "openapi.json"
_PREFIX = "/v1/admin/"
_NOBODY = "00000000-0000-7000-8000-000000000000"
_EVENT_STREAM = "text/event-stream"
_NOT_THERE = 404
"""A meeting that no recorder was sent to has no session: an answer of the contour, not a failure of it."""


@dataclass(slots=True)
class Findings:
    """What was seen."""

    checked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    queues: dict[str, int] = field(default_factory=dict)
    """Jobs that wait or run, by queue."""


async def look_over(http: httpx2.AsyncClient, gateway: Gateway) -> Findings:
    """Look at the three overviews: queues, storage, readiness."""
    found = Findings()
    for name in ("queues/health", "storage/health", "system/readiness"):
        await _read(http, gateway, _PREFIX + name, found)
    return found


async def check_all(http: httpx2.AsyncClient, gateway: Gateway, meeting_id: str) -> Findings:
    """Look at every contour.

    Args:
        http: a client at the gateway's address.
        gateway: with a service's key.
        meeting_id: a meeting that is there.
    """
    found = await look_over(http, gateway)
    looked_at = {line.partition(" ")[2] for line in found.checked}
    providers = await _providers(http, gateway, found)
    for method, template in contours():
        for path in _paths(template, meeting_id, providers, sorted(found.queues)):
            if method == "GET" and template in streams():
                await _begins(http, gateway, path, found)
            elif method == "GET" and path not in looked_at:
                await _read(http, gateway, path, found)
            await _locked(http, gateway, method, path, found)
    return found


def contours() -> Iterator[tuple[str, str]]:
    """Yield method and path of every contour of the contract."""
    document = json.loads(_OPENAPI.read_text(encoding="utf-8"))
    for template, methods in document["paths"].items():
        if template.startswith(_PREFIX):
            yield from ((method.upper(), template) for method in methods if method != "parameters")


@cache
def streams() -> frozenset[str]:
    """Return the paths that answer GET with a stream, which does not end."""
    document = json.loads(_OPENAPI.read_text(encoding="utf-8"))
    return frozenset(
        template
        for template, methods in document["paths"].items()
        if _EVENT_STREAM in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    )


def _paths(template: str, meeting_id: str, providers: list[str], queues: list[str]) -> list[str]:
    path = template.replace("{meeting_id}", meeting_id).replace("{job_id}", _NOBODY)
    for name, values in (("{provider}", providers), ("{queue}", queues)):
        if name in path:
            return [path.replace(name, value) for value in values]
    return [path]


async def _providers(http: httpx2.AsyncClient, gateway: Gateway, found: Findings) -> list[str]:
    """Return the providers that are configured; the others have nothing to be looked at."""
    try:
        listed = (await ask(http, gateway.user_key, "GET", "/v1/connectors")).get("providers", ())
    except Refused as error:
        found.wrong.append(str(error))
        return []
    found.skipped += [f"connectors/{one['name']}: {one.get('hint', '')}" for one in listed if not one.get("available")]
    return [str(one["name"]) for one in listed if one.get("available")]


async def _read(http: httpx2.AsyncClient, gateway: Gateway, path: str, found: Findings) -> None:
    found.checked.append(f"GET {path}")
    try:
        answer = await ask(http, gateway.service_key, "GET", path)
    except Refused as error:
        if not (error.status == _NOT_THERE and error.reason.endswith("SESSION_NOT_FOUND")):
            found.wrong.append(str(error))
        return
    found.wrong += [f"GET {path}: {sentence}" for sentence in _complaints(path, answer)]
    if path.endswith("/queues/health"):
        found.queues = {str(row["queue"]): int(row["depth"]) for row in answer.get("queues", ()) if row.get("queue")}


async def _begins(http: httpx2.AsyncClient, gateway: Gateway, path: str, found: Findings) -> None:
    """See whether a stream begins; nobody waits for its end."""
    found.checked.append(f"GET {path}")
    try:
        async with http.stream("GET", path, headers=shown(gateway.service_key)) as answer:
            if not answer.is_success:
                found.wrong.append(f"GET {path}: {answer.status_code} {answer.reason_phrase}")
    except httpx2.HTTPError as error:
        found.wrong.append(f"GET {path}: no answer ({str(error) or type(error).__name__})")


def _complaints(path: str, answer: dict[str, Any]) -> Iterator[str]:
    """Yield what an overview itself says is broken: such answers are 200."""
    for row in (*answer.get("queues", ()), *answer.get("rooms", ())):
        of = f"{row.get('room', '')} {row.get('queue', '')}".strip()
        if row.get("error"):
            yield f"{of}: {row['error']}"
        if int(row.get("dead", 0)):
            yield f"{of}: {row['dead']} dead jobs"
    for check in answer.get("checks", ()):
        if not check.get("ok"):
            yield f"{check.get('room', '')} {check.get('name', '')}: {check.get('message', '')}"
    if path.endswith("/storage/health") and not answer.get("ok"):
        yield "storage is not ok"
    if path.endswith("/system/readiness") and not answer.get("ready"):
        yield "the installation is not ready"


async def _locked(http: httpx2.AsyncClient, gateway: Gateway, method: str, path: str, found: Findings) -> None:
    """Try the door with a person's key, and with none."""
    found.checked.append(f"{method} {path} (refused to others)")
    body: dict[str, str] | None = {} if method == "POST" else None
    for who, key, wanted in (("a user", gateway.user_key, 403), ("nobody", "", 401)):
        try:
            await ask(http, key, method, path, body=body)
        except Refused as error:
            if error.status != wanted:
                found.wrong.append(f"{method} {path} answers {who} with {error.status} instead of {wanted}")
        else:
            found.wrong.append(f"{method} {path} lets {who} in")
