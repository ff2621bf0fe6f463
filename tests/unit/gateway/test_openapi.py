"""The OpenAPI document: fresh, whole, and about the routes that there are."""

import json
from collections.abc import Iterator
from typing import Any

from gateway.rest import contract, openapi
from gateway.rest.binding import read_bindings


def document() -> Any:
    return json.loads(openapi.DOCUMENT.read_text(encoding="utf-8"))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_document_is_fresh():
    assert openapi.DOCUMENT.read_text(encoding="utf-8") == openapi.current(), "run `python -m gateway.rest.openapi`"


def test_every_reference_leads_somewhere():
    whole = document()
    for reference in references(whole):
        found = whole
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_route_and_nothing_else_is_described():
    described = {(verb, path) for path, verbs in document()["paths"].items() for verb in verbs}
    bindings = read_bindings(contract.services(), withheld=contract.WITHHELD)
    assert described == {(one.verb.lower(), one.template.openapi) for one in bindings} | {
        ("get", "/health"),
        ("post", "/v1/audio/transcriptions"),
    }


def test_operations_are_told_in_words():
    for path, verbs in document()["paths"].items():
        for operation in verbs.values():
            assert operation["summary"], path
            assert len({parameter["name"] for parameter in operation.get("parameters", [])}) == len(
                operation.get("parameters", [])
            )


def test_a_chunk_may_be_the_body_itself():
    for path in ("/v1/meetings/{meeting_id}/chunks", "/v1/internal/meetings/{meeting_id}/chunks"):
        content = document()["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"application/json", "audio/*", "application/octet-stream", "multipart/form-data"}
        assert content["multipart/form-data"]["schema"]["properties"]["content"]["format"] == "binary"
