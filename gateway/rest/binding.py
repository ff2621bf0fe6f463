"""Bindings: one HTTP method and path to one RPC, read from the contract's `google.api.http` options."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from gateway.rest.descriptors import FieldUnknown, field_at
from gateway.rest.template import PathTemplate

WHOLE_BODY = "*"


class BindingError(Exception):
    """An annotation names what is not there; a bug in the contract, found at the start."""


@dataclass(frozen=True)
class Binding:
    """One route.

    `body` is the field that the HTTP body fills, "*" for the whole request, "" for none. `response_body` is the field
    that becomes the answer's body, "" for the whole response.
    """

    verb: str
    template: PathTemplate
    method: MethodDescriptor
    body: str
    response_body: str
    request_class: type[Message]
    response_class: type[Message]

    @cached_property
    def rpc(self) -> str:
        """The RPC's path, "/package.Service/Method"."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @cached_property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        return bool(self.method.server_streaming)

    @cached_property
    def sends_file(self) -> bool:
        """Whether the answer's body is bytes of any media type, in one piece or in many."""
        if not self.response_body:
            return bool(self.method.output_type.full_name == HttpBody.DESCRIPTOR.full_name)
        inner = field_at(self.method.output_type, self.response_body).message_type
        return inner is not None and inner.full_name == HttpBody.DESCRIPTOR.full_name

    @cached_property
    def takes_file(self) -> bool:
        """Whether the body is bytes of any media type."""
        body = self.body_descriptor
        return body is not None and body.full_name == HttpBody.DESCRIPTOR.full_name

    @cached_property
    def body_descriptor(self) -> Descriptor | None:
        """The message that the HTTP body holds, None if the route takes no body."""
        if not self.body:
            return None
        whole = self.method.input_type
        return whole if self.body == WHOLE_BODY else field_at(whole, self.body).message_type

    @cached_property
    def query_fields(self) -> bool:
        """Whether fields may stand in the query string."""
        return self.body != WHOLE_BODY

    @classmethod
    def from_rule(cls, method: MethodDescriptor, rule: HttpRule) -> Self:
        """Make a binding, checking that every field it names exists.

        Raises:
            BindingError: it does not, or the RPC takes a stream, which HTTP cannot carry.
        """
        if method.client_streaming:
            raise BindingError(f"{method.full_name} takes a stream and cannot have a route")
        kind = rule.WhichOneof("pattern")
        if kind is None:
            raise BindingError(f"{method.full_name} has a rule without a path")
        verb, path = (rule.custom.kind, rule.custom.path) if kind == "custom" else (kind.upper(), getattr(rule, kind))
        template = PathTemplate.parse(path)
        try:
            for field in template.fields:
                field_at(method.input_type, field)
            if rule.body and rule.body != WHOLE_BODY and field_at(method.input_type, rule.body).message_type is None:
                raise BindingError(f"{method.full_name}: the body field {rule.body!r} is not a message")
            if rule.response_body:
                field_at(method.output_type, rule.response_body)
        except FieldUnknown as error:
            raise BindingError(f"{method.full_name}: {error}") from error
        return cls(
            verb,
            template,
            method,
            rule.body,
            rule.response_body,
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )


def read_bindings(services: Iterable[ServiceDescriptor], *, withheld: frozenset[str] = frozenset()) -> list[Binding]:
    """Return the routes of services, the most specific first.

    Args:
        services: the contract's services; RPCs without an HTTP annotation have no route.
        withheld: full names of annotated RPCs that this release does not implement and so does not offer.

    Raises:
        BindingError: an annotation does not fit its RPC, or `withheld` names an RPC that is not there.
    """
    methods = [method for service in services for method in service.methods]
    if unknown := withheld - {method.full_name for method in methods}:
        raise BindingError(f"withheld RPCs are not in the contract: {', '.join(sorted(unknown))}")
    bindings = [
        Binding.from_rule(method, rule)
        for method in methods
        if method.full_name not in withheld
        for rule in _rules(method)
    ]
    return sorted(bindings, key=lambda binding: binding.template.precedence)


def _rules(method: MethodDescriptor) -> Iterator[HttpRule]:
    options = method.GetOptions()
    if options.HasExtension(annotations_pb2.http):
        rule = options.Extensions[annotations_pb2.http]
        yield rule
        yield from rule.additional_bindings
