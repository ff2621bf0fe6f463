"""Pages of a provider that keeps no contract: nothing crashes, what can be heard is heard, no name is made up."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from structlog.testing import capture_logs

from services.connector.provider import Basis
from services.connector.providers.sberjazz_contract import Joined, Page
from services.connector.providers.sberjazz_http import SberJazzClient
from services.connector.providers.sberjazz_source import Place, SberJazzSource, place_after, read_place, shown_name
from tests.fakes.chunk_sink import MemoryChunks, Notes

AUDIO = base64.b64encode(b"\x01\x02" * 160).decode()
GOOD = {"sequence": 1, "participant_id": "p-1", "name": "Anna", "start_ms": 0, "audio": AUDIO}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
near_chunk = st.fixed_dictionaries(
    {},
    optional={
        name: anything | st.sampled_from([good, "", 0, -1, 2**63, "own_track"])
        for name, good in ({**GOOD, "speaker": "roster", "encoding": "wav", "sample_rate_hertz": 48_000}).items()
    },
)


class Pages(SberJazzClient):
    """A client whose pages are written down."""

    def __init__(self, pages: Sequence[dict[str, Any]]) -> None:
        self._pages = list(pages)

    async def live_pull(self, meeting_id: str, connection_id: str, cursor: str, limit: int) -> Page:
        """Return the next page."""
        page = self._pages.pop(0) if self._pages else {"chunks": [], "next_cursor": cursor}
        return Page.model_validate_json(json.dumps({"next_cursor": "c", **page}))


def source_of(*pages: list[Any], people: Sequence[dict[str, Any]] = ()) -> tuple[SberJazzSource, MemoryChunks]:
    chunks = MemoryChunks()
    client = Pages([{"chunks": page, "participants": people} for page in pages])
    place = Place(connection_id="stay-1", origin_ms=0)
    return SberJazzSource(client, "m-1", place, chunks, Notes(), notice_posted=False), chunks


@given(st.lists(near_chunk | anything, max_size=6))
async def test_whatever_stands_in_a_page_the_good_chunk_is_heard(strange: list[Any]) -> None:
    source, chunks = source_of([*strange, {**GOOD, "sequence": 7_777_777}])
    first = await source.pull(100)
    second = await source.pull(100)
    assert "stay-1:7777777" in chunks.keys
    assert first.fetched == len(strange) + 1
    told = [first.stored, first.duplicates, first.invalid, second.stored, second.duplicates, second.invalid]
    assert sum(told) == len(strange) + 1


async def test_a_broken_chunk_is_told_with_its_reason_and_nothing_of_what_it_says() -> None:
    source, chunks = source_of(
        [{**GOOD, "audio": "Anna said: %%%"}, {**GOOD, "sequence": 2, "start_ms": -1}, {**GOOD, "sequence": 3}]
    )
    with capture_logs() as lines:
        pulled = await source.pull(100)
    assert (pulled.fetched, pulled.stored, pulled.invalid) == (3, 1, 2)
    refused = [line for line in lines if line["event"] == "sberjazz_chunk_refused"]
    assert [(line["sequence"], line["reason"]) for line in refused] == [
        (1, "audio: value_error"),
        (2, "start_ms: greater_than_equal"),
    ]
    assert "Anna" not in json.dumps(lines)
    assert [chunk.key for chunk in chunks.chunks] == ["stay-1:3"]


async def test_who_speaks_is_named_only_where_the_provider_says_so() -> None:
    people = [{"participant_id": "p-3", "name": "  Clara\n\u202eEva "}]
    source, chunks = source_of(
        [
            {**GOOD, "sequence": 1},
            {**GOOD, "sequence": 2, "participant_id": "", "name": "Boris"},
            {**GOOD, "sequence": 3, "participant_id": "p-3", "name": "", "speaker": "roster"},
            {**GOOD, "sequence": 4, "participant_id": "p-4", "name": ""},
            {**GOOD, "sequence": 5, "participant_id": "p-5", "name": "Dora", "speaker": "unknown"},
        ],
        people=people,
    )
    await source.pull(100)
    assert [(chunk.participant_id, chunk.display_name, chunk.basis) for chunk in chunks.chunks] == [
        ("p-1", "Anna", Basis.OWN_TRACK),
        ("unknown", "Speaker 2", Basis.GUESS),
        ("p-3", "Clara Eva", Basis.ROSTER),
        ("p-4", "Speaker 4", Basis.GUESS),
        ("p-5", "Speaker 5", Basis.GUESS),
    ]


async def test_a_late_chunk_is_heard_in_its_place_and_one_that_never_comes_holds_nothing_up() -> None:
    pages = [[{**GOOD, "sequence": number} for number in numbers] for numbers in ((1, 3), (2, 4), (6, 7), ())]
    source, chunks = source_of(*pages)
    cursors = []
    for _ in pages:
        await source.pull(100)
        cursors.append(Place.model_validate_json(source.cursor).cursor)
    assert [chunk.key for chunk in chunks.chunks] == [f"stay-1:{number}" for number in (1, 2, 3, 4, 6, 7)]
    assert cursors == ["", "c", "c", "c"]


def test_a_page_that_is_none_is_refused_as_a_whole() -> None:
    for body in (
        "[]",
        "{}",
        '{"chunks": 1, "next_cursor": ""}',
        '{"chunks": [], "next_cursor": 5}',
        "nan",
        "[" * 9_999,
    ):
        with pytest.raises(ValidationError):
            Page.model_validate_json(body)


def test_a_memory_that_cannot_be_read_starts_anew() -> None:
    joined = Joined.model_validate_json('{"connection_id": "stay-1", "state": "connected", "age_ms": 0}')
    for remembered in ("", "rubbish", "{}", '{"connection_id": 1}'):
        assert read_place(remembered) is None
    assert place_after(joined, None).cursor == ""


def test_a_name_is_one_line_of_what_can_be_seen() -> None:
    assert shown_name("A\x00nn\ta\u200b  \r\n") == "A nn a"
    assert len(shown_name("x" * 10_000)) == 200
