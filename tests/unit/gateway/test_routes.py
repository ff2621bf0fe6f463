"""Routes by path: the few that a request is compared with are all that may be there, in their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rest import contract
from gateway.rest.binding import read_bindings
from gateway.rest.routes import RouteTable
from gateway.rest.template import PathTemplate

_BINDINGS = read_bindings(contract.services())
_TEMPLATES = [binding.template for binding in _BINDINGS] + [
    PathTemplate.parse(text)
    for text in ("/v1/{name=meetings/*}/report", "/v1/{name=files/**}", "/v1/meetings/{meeting.id}:cancel", "/{any}")
]
_SEGMENTS = sorted(
    {segment for template in _TEMPLATES for segment in template.openapi.split("/") if "{" not in segment}
)


@pytest.mark.parametrize(
    ("text", "skeleton"),
    [
        ("/v1/meetings/{meeting_id}", ("", "v1", "meetings", None)),
        ("/v1/{name=projects/*/jobs/*}:drop", ("", "v1", "projects", None, "jobs", None)),
        ("/v1/{name=files/**}", None),
    ],
)
def test_a_template_knows_what_its_paths_have_in_common(text: str, skeleton: tuple[str | None, ...] | None):
    assert PathTemplate.parse(text).skeleton == skeleton


def test_every_route_of_the_contract_is_found():
    table = RouteTable([(binding.template, binding) for binding in _BINDINGS])
    for binding in _BINDINGS:
        path = binding.template.openapi.replace("{", "a-").replace("}", "")
        assert binding in [found for found, _ in table.at(path)], path


@given(st.lists(st.sampled_from([*_SEGMENTS, "", "7", "7:cancel", "a%2Fb", "v1"]), max_size=6))
def test_looking_up_finds_what_trying_one_after_another_finds(segments: list[str]):
    path = "/" + "/".join(segments)
    tried = [(template.text, values) for template in _TEMPLATES if (values := template.match(path)) is not None]
    assert list(RouteTable([(each, each.text) for each in _TEMPLATES]).at(path)) == tried
