"""The AsyncAPI 3.0 document of the WebSockets, made from the contract and from this package's own tables.

`python -m gateway.live.asyncapi` writes asyncapi/asyncapi.json, `--check` fails when it is stale.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from gateway.live.audio import CONTROL
from gateway.live.closing import CLOSE_CODES
from gateway.live.frame import HEADER_FIELDS, MAX_PCM_BYTES
from gateway.rest.comments import read_comments
from gateway.rest.descriptors import descriptor_of
from gateway.rest.openapi import problem_schema
from gateway.rest.schemas import Schema, Schemas

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "asyncapi" / "asyncapi.json"
USER, INTERNAL = "/v1/ws", "/v1/ws/internal"

_DESCRIPTION = (
    "Audio into a meeting with acknowledgements, and a meeting's live events out, over WebSockets. Generated from the "
    "contract in proto/agent; docs/websocket.md teaches. Operations are the server's: it receives what clients send."
)
_KEY = "The caller's key or token, for clients that cannot set headers; counts more than a header."
_HEADERS = {
    "type": "object",
    "properties": {
        "X-API-Key": {"type": "string", "description": "A key."},
        "Authorization": {"type": "string", "description": "`Bearer` and a key or token."},
        "X-Tenant-Id": {"type": "string", "description": "For whom a service acts."},
    },
}


def make_document(comments: Mapping[str, str]) -> dict[str, Any]:
    """Return the document.

    Args:
        comments: the contract's comments by full name.
    """
    schemas = Schemas(comments)
    received = {name: _message(name, payload) for name, payload in _from_clients(schemas).items()}
    received["frame"] = _frame()
    sent = {name: _message(name, payload) for name, payload in _from_server(schemas).items()}
    channels = {"user": USER, "internal": INTERNAL}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Interview Analytics Agent", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost:8010",
                "protocol": "ws",
                "description": "The gateway of `agent up`; wss behind a proxy with TLS.",
            }
        },
        "channels": {
            name: _channel(address, [*received, *sent]) | {"x-contour": _CONTOURS[name]}
            for name, address in channels.items()
        },
        "operations": {
            operation: details
            for name in channels
            for operation, details in (
                (f"{name}Receive", _operation("receive", name, received)),
                (f"{name}Send", _operation("send", name, sent)),
            )
        },
        "components": {
            "messages": received | sent,
            "schemas": {"Problem": problem_schema(), **dict(sorted(schemas.collected.items()))},
        },
    }


_CONTOURS = {
    "user": "People's and services' keys.",
    "internal": "Services that hold the scope `agent.ws.internal`.",
}


def _channel(address: str, messages: Iterable[str]) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "headers": _HEADERS, "bindingVersion": "0.1.0"}},
        "x-close-codes": {str(code): meaning for code, meaning in CLOSE_CODES.items()},
    }


def _operation(action: str, channel: str, messages: Iterable[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _message(name: str, payload: Schema) -> dict[str, Any]:
    return {"name": name, "summary": payload.get("description", ""), "payload": payload}


def _frame() -> dict[str, Any]:
    """Return the one message that is not JSON."""
    sizes = {"Q": 8, "q": 8, "I": 4}
    header: list[dict[str, Any]] = []
    for field in HEADER_FIELDS:
        offset = sum(each["bytes"] for each in header)
        header.append({"name": field.name, "offset": offset, "bytes": sizes[field.code], "description": field.meaning})
    length = sum(each["bytes"] for each in header)
    header.append(
        {
            "name": "samples",
            "offset": length,
            "description": f"Signed 16-bit little-endian, mono, 16 kHz; at most {MAX_PCM_BYTES} bytes.",
        }
    )
    return {
        "name": "frame",
        "summary": "Samples of a track, as a binary frame; all numbers are little-endian.",
        "contentType": "application/octet-stream",
        "payload": {
            "type": "string",
            "format": "binary",
            "minLength": length,
            "maxLength": length + MAX_PCM_BYTES,
            "x-layout": header,
        },
    }


def _from_clients(schemas: Schemas) -> dict[str, Schema]:
    request = descriptor_of(audio.StreamAudioRequest())
    key: Schema = {"api_key": {"type": "string", "description": _KEY}}
    sequence = schemas.of_field(request.fields_by_name["sequence"])
    opening = descriptor_of(audio.SessionOpen())
    watching = descriptor_of(meetings.WatchMeetingRequest())
    return {
        "open": _object("open", _fields(opening, schemas) | key, ["meeting_id"], schemas.comment(opening.full_name)),
        "watch": _object("watch", _fields(watching, schemas) | key, ["meeting_id"], _summary(schemas, "WatchMeeting")),
        **{
            kind: _object(
                kind,
                {"sequence": sequence, **_fields(message, schemas)},
                ["sequence"],
                schemas.comment(message.full_name),
            )
            for kind in CONTROL
            if (message := request.fields_by_name[kind].message_type) is not None
        },
        "ping": _object("ping", {}, [], "Asks for a `pong`."),
    }


def _from_server(schemas: Schemas) -> dict[str, Schema]:
    answers = descriptor_of(audio.StreamAudioResponse())
    events = descriptor_of(meetings.WatchMeetingResponse())
    found: dict[str, Schema] = {}
    for field in answers.fields:
        if field.message_type is not None:
            properties = _fields(field.message_type, schemas)
            if field.name == "opened":
                name = schemas.of_field(descriptor_of(audio.SessionOpen()).fields_by_name["session_id"])
                properties["session_id"] = name
            comment = schemas.comment(field.message_type.full_name)
            found[field.name] = _object(field.name, properties, list(properties), comment)
    found["finished"] = _object("finished", {}, [], "The whole session is durable; the answer to `end`.")
    cursor = schemas.of_field(events.fields_by_name["cursor"])
    for field in events.oneofs_by_name["event"].fields:
        properties = {"cursor": cursor, field.name: schemas.of_field(field)}
        found[field.name] = _object(field.name, properties, list(properties), schemas.comment(field.full_name))
    found["watch_ended"] = _object(
        "watch_ended", {}, [], "The meeting is finished and its report is there, or will not be."
    )
    found["pong"] = _object("pong", {}, [], "Answers `ping`.")
    problem: Schema = {"problem": {"$ref": "#/components/schemas/Problem"}}
    found["error"] = _object("error", problem, ["problem"], "Why the socket is closed next.")
    return found


def _fields(message: Descriptor, schemas: Schemas) -> Schema:
    return {field.name: schemas.of_field(field) for field in message.fields}


def _object(kind: str, properties: Schema, required: list[str], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {"type": {"const": kind}, **properties},
        "required": ["type", *required],
        "additionalProperties": False,
    }


def _summary(schemas: Schemas, rpc: str) -> str:
    return schemas.comment(f"agent.ingest.v1.MeetingService.{rpc}")


def current() -> str:
    """Return the document that the code gives now."""
    document = make_document(read_comments(ROOT / "proto"))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the document, or with `--check` fail when it is stale."""
    parser = argparse.ArgumentParser(prog="python -m gateway.live.asyncapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when asyncapi/asyncapi.json is stale; write nothing")
    text = current()
    if parser.parse_args().check:
        fresh = DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == text
        sys.stdout.write("" if fresh else "asyncapi/asyncapi.json is stale: python -m gateway.live.asyncapi\n")
        return 0 if fresh else 1
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
