"""The OpenAPI 3.1 document, made from the same bindings as the routes: `python -m gateway.rest.openapi`."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from agent.common.v1 import access_pb2
from agent.common.v1.error_reason_pb2 import ErrorReason
from gateway.rest import contract, problem
from gateway.rest.binding import Binding, read_bindings
from gateway.rest.comments import read_comments
from gateway.rest.descriptors import field_at
from gateway.rest.multipart import MEDIA_TYPE as FORM
from gateway.rest.reading import JSON
from gateway.rest.schemas import Schema, Schemas
from gateway.rest.stream import EVENT_STREAM, NDJSON
from gateway.speech import description as transcriptions

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "openapi" / "openapi.json"

_TITLE = "Interview Analytics Agent"
_VERSION = "1"
_DESCRIPTION = (
    "Meetings, their audio, transcripts and reports. Generated from the contract in proto/agent; 64-bit integers are "
    "JSON numbers, fields keep their proto names, failures are problem documents with a stable `reason`."
)
_CALLERS = {access_pb2.CALLER_USER: "user", access_pb2.CALLER_SERVICE: "service", access_pb2.CALLER_PUBLIC: "public"}
_WELL_KNOWN_IN_QUERY = "google.protobuf."


def make_document(bindings: Iterable[Binding], comments: Mapping[str, str]) -> dict[str, Any]:
    """Return the document for these routes, in the order of their paths."""
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {
        "/health": {"get": _health()},
        transcriptions.PATH: {"post": transcriptions.operation()},
    }
    for binding in sorted(bindings, key=lambda one: (one.template.openapi, one.verb)):
        paths.setdefault(binding.template.openapi, {})[binding.verb.lower()] = _operation(binding, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": _VERSION, "description": _DESCRIPTION},
        "security": [{"apiKey": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "responses": {"Problem": _problem_response()},
            "schemas": {"Problem": problem_schema(), **dict(sorted(schemas.collected.items()))},
        },
    }


def render(document: dict[str, Any]) -> str:
    """Return the document as it is kept."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def current() -> str:
    """Return the document that the contract gives now."""
    bindings = read_bindings(contract.services(), withheld=contract.WITHHELD)
    return render(make_document(bindings, read_comments(ROOT / "proto")))


def main() -> int:
    """Write the document, or with `--check` fail when it is stale."""
    parser = argparse.ArgumentParser(prog="python -m gateway.rest.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when openapi/openapi.json is stale; write nothing")
    text = current()
    if parser.parse_args().check:
        fresh = DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == text
        sys.stdout.write("" if fresh else "openapi/openapi.json is stale: python -m gateway.rest.openapi\n")
        return 0 if fresh else 1
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


def _operation(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    method = binding.method
    comment = schemas.comment(method.full_name)
    operation: dict[str, Any] = {
        "operationId": method.name[0].lower() + method.name[1:],
        "tags": [method.containing_service.name],
        "summary": _summary(comment, method.name),
        "description": comment,
        "x-rpc": method.full_name,
        "x-callers": [_CALLERS[caller] for caller in method.GetOptions().Extensions[access_pb2.access].callers],
        "parameters": [*_path_parameters(binding, schemas), *_query_parameters(binding, schemas)],
        "responses": {**_success(binding, schemas), "default": {"$ref": "#/components/responses/Problem"}},
    }
    if binding.body_descriptor is not None:
        operation["requestBody"] = {"required": True, "content": _body(binding, binding.body_descriptor, schemas)}
    return operation


def _summary(comment: str, name: str) -> str:
    """Return the first sentence without the RPC's name, with which comments start."""
    sentence = comment.partition(". ")[0].rstrip(".").removeprefix(f"{name} ")
    return sentence[:1].upper() + sentence[1:]


def _body(binding: Binding, descriptor: Descriptor, schemas: Schemas) -> dict[str, Any]:
    if binding.takes_file:
        return {contract.FILE_BODIES.get(binding.method.full_name, "*/*"): {"schema": schemas.of_message(descriptor)}}
    content: dict[str, Any] = {JSON: {"schema": schemas.of_message(descriptor)}}
    raw = contract.RAW_BODIES.get(binding.method.full_name)
    if raw is not None:
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in contract.RAW_MEDIA_TYPES}
        content[FORM] = {"schema": _form(binding, descriptor, raw, schemas)}
    return content


def _form(binding: Binding, descriptor: Descriptor, file: str, schemas: Schemas) -> Schema:
    """Return the schema of a form: the file, and the fields that may stand beside it as text."""
    beside = _in_query(descriptor, {*binding.template.fields, file}, "", schemas)
    properties = {parameter["name"]: parameter["schema"] for parameter in beside}
    return {
        "type": "object",
        "properties": {file: {"type": "string", "format": "binary"}, **properties},
        "required": [file],
        "additionalProperties": False,
    }


def _success(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    answer = _answer(binding, schemas)
    if binding.method.full_name not in contract.CREATING:
        return {"200": answer}
    location = {"schema": {"type": "string"}, "description": "What was made; DELETE ends it."}
    return {"201": {**answer, "headers": {"Location": location}}}


def _answer(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    field = field_at(binding.method.output_type, binding.response_body) if binding.response_body else None
    schema = schemas.of_field(field) if field else schemas.of_message(binding.method.output_type)
    if binding.streams and binding.sends_file:
        return {
            "description": "The file, sent while it is made. A connection that breaks off sent a part of it. With "
            "`Range` the file is made whole first, and answered is 206 with the part.",
            "headers": {
                "Accept-Ranges": {"schema": {"type": "string"}, "description": "`bytes`."},
                "Content-Disposition": {"schema": {"type": "string"}, "description": "A name for the file."},
            },
            "content": {"*/*": {"schema": schema}},
        }
    if binding.streams:
        return {
            "description": "A stream: one document per line, or server-sent events when asked for by `Accept`.",
            "content": {NDJSON: {"schema": schema}, EVENT_STREAM: {"schema": schema}},
        }
    media_type = "*/*" if schema.get("format") == "binary" else JSON
    return {"description": "The answer.", "content": {media_type: {"schema": schema}}}


def _path_parameters(binding: Binding, schemas: Schemas) -> Iterable[dict[str, Any]]:
    for name in binding.template.fields:
        field = field_at(binding.method.input_type, name)
        yield _parameter(name, "path", field, schemas, required=True)


def _query_parameters(binding: Binding, schemas: Schemas) -> Iterable[dict[str, Any]]:
    taken = {*binding.template.fields, binding.body}
    raw = contract.RAW_BODIES.get(binding.method.full_name)
    if raw is not None and binding.body_descriptor is not None:
        for parameter in _in_query(binding.body_descriptor, taken | {raw}, "", schemas):
            yield {**parameter, "description": f"With a raw body only. {parameter.get('description', '')}".strip()}
    elif binding.query_fields:
        yield from _in_query(binding.method.input_type, taken, "", schemas)


def _in_query(message: Descriptor, taken: set[str], prefix: str, schemas: Schemas) -> Iterable[dict[str, Any]]:
    for field in message.fields:
        name = prefix + field.name
        if name in taken or field.type == FieldDescriptor.TYPE_BYTES:
            continue
        inner = field.message_type
        if inner is None or inner.full_name.startswith(_WELL_KNOWN_IN_QUERY):
            yield _parameter(name, "query", field, schemas)
        elif not field.is_repeated:
            yield from _in_query(inner, taken, f"{name}.", schemas)


def _parameter(
    name: str, place: str, field: FieldDescriptor, schemas: Schemas, *, required: bool = False
) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": place}
    if required:
        parameter["required"] = True
    schema = schemas.of_field(field)
    if description := schema.pop("description", ""):
        parameter["description"] = description
    return {**parameter, "schema": schema}


def _health() -> dict[str, Any]:
    rooms = {"type": "object", "additionalProperties": {"type": "string", "enum": ["serving", "not_serving", "away"]}}
    properties = {"status": {"type": "string", "enum": ["ok", "degraded"]}, "rooms": rooms}
    content = {JSON: {"schema": {"type": "object", "properties": properties}}}
    return {
        "operationId": "getHealth",
        "tags": ["Health"],
        "summary": "Whether every room of the mesh serves",
        "security": [],
        "responses": {
            "200": {"description": "Every room serves.", "content": content},
            "503": {"description": "Some room does not; the rooms are named.", "content": content},
        },
    }


def _problem_response() -> dict[str, Any]:
    return {
        "description": "A failure; `reason` is stable. `Retry-After` says when another try is worth it.",
        "content": {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def problem_schema() -> Schema:
    """Return the schema of a problem document."""
    return {
        "type": "object",
        "description": "A failure (RFC 9457).",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "reason": {"type": "string", "enum": ["", *ErrorReason.keys()[1:]]},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "trace_id": {"type": "string", "pattern": "^([0-9a-f]{32})?$"},
        },
        "required": ["type", "title", "status", "detail", "reason", "metadata", "trace_id"],
    }


if __name__ == "__main__":
    sys.exit(main())
