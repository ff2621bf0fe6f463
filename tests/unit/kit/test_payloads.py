"""What operators see of a job's payload."""

import json

import pytest

from kit.ops.payloads import payload_text


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (
            {"meeting_id": "m-1", "revision": 3, "last": True, "note": None},
            {"meeting_id": "m-1", "revision": 3, "last": True, "note": None},
        ),
        (
            {"apiKey": "k-1", "auth_token": ["t"], "headers": {"Authorization": "Bearer x", "accept": "text/plain"}},
            {"apiKey": "****", "auth_token": "****", "headers": {"Authorization": "****", "accept": "text/plain"}},
        ),
        (
            {"at": "https://ana:pw@crm.example:8443/hooks/T01/secret?sig=abc#x", "to": "see postgresql://u:p@db/agent"},
            {"at": "https://crm.example:8443/hooks/****?****", "to": "see postgresql://db/****"},
        ),
        ({"text": "what Ana said", "title": "Board prep", "words": 7}, {"text": "****", "title": "****", "words": 7}),
        ({"monkey": "George", "keyboard": "de"}, {"monkey": "George", "keyboard": "de"}),
    ],
)
def test_secrets_and_speech_are_masked_and_the_rest_is_shown(payload: dict[str, object], shown: object) -> None:
    assert json.loads(payload_text(payload)) == shown


def test_payloads_of_any_size_and_depth_are_short() -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"in": deep}
    for payload in ({"a": "x" * 100_000}, deep, {f"f{n}": "y" * 150 for n in range(1000)}, {"n": 10**5000}):
        text = payload_text(payload)
        assert isinstance(json.loads(text), dict)
        assert len(text) < 10_000
