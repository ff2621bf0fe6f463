"""Templates, values and problems: what REST makes of the contract's annotations and messages."""

import json

import grpc
import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from agent.common.v1 import report_pb2, transcript_pb2
from agent.ingest.v1 import audio_service_pb2, meeting_service_pb2
from agent.stt.v1 import stt_service_pb2
from gateway.errors import RangeNotSatisfiable
from gateway.rest import contract, problem
from gateway.rest.binding import BindingError, read_bindings
from gateway.rest.decoder import fill, parse_body, parse_value
from gateway.rest.encoder import to_json_value
from gateway.rest.ranges import Part, part_of
from gateway.rest.template import PathTemplate
from kit.errors import InvalidArgument, ResourceExhausted
from kit.rpc.status import RpcProblem


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/v1/meetings/{meeting_id}", "/v1/meetings/m-1", {"meeting_id": "m-1"}),
        ("/v1/meetings/{meeting_id}", "/v1/meetings/a%2Fb%20c", {"meeting_id": "a/b c"}),
        ("/v1/meetings/{meeting_id}", "/v1/meetings/m-1/report", None),
        ("/v1/meetings/{meeting_id}", "/v1/meetings/", None),
        ("/v1/{name=meetings/*}/report", "/v1/meetings/7/report", {"name": "meetings/7"}),
        ("/v1/{name=files/**}", "/v1/files/a/b/c", {"name": "files/a/b/c"}),
        ("/v1/meetings/{meeting.id}:cancel", "/v1/meetings/7:cancel", {"meeting.id": "7"}),
        ("/v1/meetings/{meeting.id}:cancel", "/v1/meetings/7", None),
    ],
)
def test_a_template_reads_its_fields(template: str, path: str, values: dict[str, str] | None):
    assert PathTemplate.parse(template).match(path) == values


def test_a_template_is_written_as_openapi_does():
    assert PathTemplate.parse("/v1/{name=meetings/*}/report").openapi == "/v1/{name}/report"


@pytest.mark.parametrize("text", ["v1/meetings", "/v1/{meeting_id"])
def test_what_is_no_template_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a path template"):
        PathTemplate.parse(text)


def test_every_annotation_of_the_contract_has_a_route():
    bindings = read_bindings(contract.services())
    assert len({(one.verb, one.template.text) for one in bindings}) == len(bindings)
    assert {one.rpc.rpartition("/")[2] for one in bindings} >= {
        "StartMeeting",
        "WatchMeeting",
        "PutChunk",
        "GetArtifact",
    }
    assert "StreamAudio" not in {one.method.name for one in bindings}, "no annotation, no route"


def test_withheld_rpcs_have_no_route():
    withheld = frozenset({"agent.ingest.v1.MeetingService.GetCoverage"})
    offered = {one.method.full_name for one in read_bindings(contract.services(), withheld=withheld)}
    assert not offered & withheld
    with pytest.raises(BindingError, match="Weather"):
        read_bindings(contract.services(), withheld=frozenset({"Weather"}))


def test_raw_bodies_name_bytes_fields():
    bindings = {binding.method.full_name: binding for binding in read_bindings(contract.services())}
    for name, field in contract.RAW_BODIES.items():
        described = bindings[name].body_descriptor
        assert described is not None
        assert described.fields_by_name[field].type == 12


def test_values_are_written_as_people_expect():
    word = transcript_pb2.Word(text="yes", confidence=0.9)
    assert to_json_value(word) == {"text": "yes", "start_ms": 0, "end_ms": 0, "confidence": 0.9}
    stats = stt_service_pb2.GetStatsResponse(finals=2**40)
    assert to_json_value(stats)["finals"] == 2**40, "64-bit integers are numbers"
    claim = report_pb2.Claim(confidence=report_pb2.CONFIDENCE_HIGH)
    assert to_json_value(claim)["confidence"] == "CONFIDENCE_HIGH"
    chunk = audio_service_pb2.PutChunkRequest(content=b"\0\xff")
    assert to_json_value(chunk)["content"] == "AP8="
    participant = meeting_service_pb2.Participant()
    assert "left_ms" not in to_json_value(participant), "optional and unset"
    context = Struct()
    context.update({"role": "backend", "n": 3})
    assert to_json_value(meeting_service_pb2.Meeting(context=context))["context"] == {"role": "backend", "n": 3}


@given(
    st.builds(
        transcript_pb2.Segment,
        segment_id=st.text(max_size=8),
        ordinal=st.integers(-(2**31), 2**31 - 1),
        text=st.text(max_size=40),
        confidence=st.floats(0, 1, width=32),
        words=st.lists(
            st.builds(transcript_pb2.Word, text=st.text(max_size=5), confidence=st.floats(0, 1, width=32)), max_size=3
        ),
    )
)
def test_what_is_written_can_be_read_back(segment: transcript_pb2.Segment):
    written = orjson.dumps(to_json_value(segment))
    again = transcript_pb2.Segment()
    parse_body(written, again)
    assert again == segment
    standard = json_format.MessageToJson(
        segment, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert json.loads(written) == json.loads(standard), (
        "the same as the standard mapping where it has no 64-bit integers"
    )


_FIELDS = st.sampled_from(
    ["title", "mode", "context", "meeting_url", "meetingUrl", "auto_join_connector", "autoJoinConnector", "no_such"]
)
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**33), st.text(max_size=3), st.lists(st.text(max_size=2), max_size=2),
    st.just({}), st.just({"role": "backend"}),
)  # fmt: skip


@given(st.dictionaries(_FIELDS, _VALUES, max_size=4))
def test_a_body_is_read_as_the_standard_parser_reads_it(body: dict[str, object]):
    ours = meeting_service_pb2.StartMeetingRequest()
    standard = meeting_service_pb2.StartMeetingRequest()
    try:
        json_format.ParseDict(body, standard)
    except json_format.ParseError:
        with pytest.raises(InvalidArgument):
            parse_value(body, ours)
        return
    parse_value(body, ours)
    assert ours == standard


@pytest.mark.parametrize("text", ["***", "AAA=A", "A", "AA AA", "AAAAA"])
def test_text_that_is_not_base64_is_refused(text: str):
    with pytest.raises(InvalidArgument) as caught:
        parse_value({"chunk": {"content": text}}, audio_service_pb2.PutInternalChunkRequest())
    assert caught.value.metadata == {"field": "chunk.content"}


@pytest.mark.parametrize("text", ["AP8=", "AP8", "_-8=", ""])
def test_both_alphabets_of_base64_are_read(text: str):
    parse_value({"content": text}, audio_service_pb2.PutChunkRequest())


def test_dots_in_a_query_lead_into_messages():
    request = audio_service_pb2.PutInternalChunkRequest()
    fill(
        request,
        {"chunk.language": ["en"], "chunk.sampleRateHertz": ["8000"], "chunk.last": ["1"], "chunk.content": ["AP8"]},
    )
    assert (request.chunk.language, request.chunk.sample_rate_hertz, request.chunk.last) == ("en", 8000, True)
    assert request.chunk.content == b"\0\xff"
    with pytest.raises(InvalidArgument) as caught:
        fill(request, {"meeting_id.x": ["1"]})
    assert caught.value.metadata == {"field": "meeting_id.x"}


def test_an_enum_in_a_query_is_a_name_or_a_number():
    action = report_pb2.ActionItem()
    fill(action, {"kind": ["ACTION_KIND_REQUEST"]})
    assert action.kind == report_pb2.ACTION_KIND_REQUEST
    fill(action, {"kind": ["1"]})
    assert action.kind == report_pb2.ACTION_KIND_COMMITMENT
    with pytest.raises(InvalidArgument):
        fill(action, {"kind": ["WISH"]})


@pytest.mark.parametrize(
    ("rpc", "status", "detail"),
    [
        (RpcProblem(grpc.StatusCode.INTERNAL, "", "Traceback: secret"), 500, "internal error"),
        (RpcProblem(grpc.StatusCode.UNKNOWN, "", "KeyError"), 500, "internal error"),
        (
            RpcProblem(grpc.StatusCode.UNAVAILABLE, "", "ipv4:10.0.0.7:8021 refused"),
            503,
            "ingest cannot be reached now",
        ),
        (RpcProblem(grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_TOO_LARGE", "8 MiB"), 413, "8 MiB"),
        (RpcProblem(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_MEETING_FINISHED", "over"), 400, "over"),
        (RpcProblem(grpc.StatusCode.ABORTED, "ERROR_REASON_EPOCH_FENCED", "newer"), 409, "newer"),
    ],
)
def test_a_failed_call_is_a_problem_without_our_secrets(rpc: RpcProblem, status: int, detail: str):
    made = problem.of_rpc_problem(rpc, "ingest")
    assert (made.status, made.detail) == (status, detail)


def test_retry_after_is_whole_seconds():
    response = problem.of_error(ResourceExhausted("busy", retry_after_seconds=0.2)).response()
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", Part(0, 0)),
        ("bytes=10-", Part(10, 99)),
        ("bytes=90-500", Part(90, 99)),
        ("bytes=-10", Part(90, 99)),
        ("bytes=-500", Part(0, 99)),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("nonsense", None),
    ],
)
def test_a_range_names_a_part_or_nothing(header: str, part: Part | None):
    assert part_of(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_beyond_the_file_is_refused(header: str):
    with pytest.raises(RangeNotSatisfiable):
        part_of(header, 100)
