"""Requests as messages: path, query and body, which is JSON, a form with a file, or the file itself."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from starlette.requests import Request

from gateway.errors import MediaTypeUnsupported
from gateway.headers import headers_of
from gateway.rest import contract
from gateway.rest.binding import WHOLE_BODY, Binding
from gateway.rest.decoder import fill, parse_body
from gateway.rest.exchange import read_body
from gateway.rest.multipart import MEDIA_TYPE as FORM
from gateway.rest.multipart import read_upload
from kit.errors import InvalidArgument

JSON = "application/json"

Values = Mapping[str, Sequence[str]]


async def read_message(
    binding: Binding, values: Mapping[str, str], request: Request, *, max_bytes: int, timeout_seconds: float
) -> Any:
    """Return the message that a request makes.

    Args:
        binding: the route.
        values: what the path says, by field.
        request: the request, its body not read yet.
        max_bytes: longest body.
        timeout_seconds: longest time for the body to come.

    Raises:
        InvalidArgument: something is wrong; the field is named.
        MediaTypeUnsupported: the body is of a kind that the route does not take.
        BodyTooLarge: the body is too long.
        BodyTooSlow: the body did not come in time.
        ClientGone: the client hung up.
    """
    message: Any = binding.request_class()
    asked = request.query_params if request.scope["query_string"] else {}
    query = {name: request.query_params.getlist(name) for name in asked}
    if duplicated := query.keys() & values.keys():
        raise InvalidArgument("stands in the path already", field=sorted(duplicated)[0])
    content_type = headers_of(request.scope).get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    _refuse_media_type(binding, media_type)
    body = await read_body(request, max_bytes=max_bytes, timeout_seconds=timeout_seconds)
    if not binding.body:
        fill(message, query)
    elif binding.takes_file:
        file = _inner(message, binding.body)
        file.content_type, file.data = content_type, body
        fill(message, query)
    else:
        target = message if binding.body == WHOLE_BODY else _inner(message, binding.body)
        _read_body(binding, target, media_type, body, query, request)
        if binding.query_fields and not _is_file(media_type):
            fill(message, query)
    fill(message, {field: [value] for field, value in values.items()})
    return message


def _refuse_media_type(binding: Binding, media_type: str) -> None:
    """Say which bodies a route takes, before any of it is read."""
    if not binding.body or (media_type in ("", JSON) and not binding.takes_file):
        return
    name = binding.method.full_name
    if binding.takes_file:
        wanted = contract.FILE_BODIES.get(name, "*/*")
        if not fnmatchcase(media_type, wanted):
            raise MediaTypeUnsupported(f"send {wanted}", got=media_type[:64])
        return
    taken = [JSON, *((*contract.RAW_MEDIA_TYPES, FORM) if name in contract.RAW_BODIES else ())]
    if media_type not in taken and not any(fnmatchcase(media_type, kind) for kind in taken):
        raise MediaTypeUnsupported(f"send {' or '.join(taken)}", got=media_type[:64])


def _read_body(binding: Binding, target: Any, media_type: str, body: bytes, query: Values, request: Request) -> None:
    """Fill what the body is for; a file in it may have the other fields beside it, in the form or the query."""
    raw_field = contract.RAW_BODIES.get(binding.method.full_name)
    if raw_field is None or not _is_file(media_type):
        parse_body(body, target)
        if query and not binding.query_fields:
            raise InvalidArgument("the body holds every field", field=min(query))
        return
    if media_type != FORM:
        setattr(target, raw_field, body)
        fill(target, query)
        return
    upload = read_upload(request.headers["content-type"], body, file_field=raw_field)
    if raw_field in upload.fields:
        raise InvalidArgument("is a file in a form; give the part a filename", field=raw_field)
    setattr(target, raw_field, upload.file)
    fill(target, query)
    fill(target, upload.fields)


def _is_file(media_type: str) -> bool:
    return media_type not in ("", JSON)


def _inner(message: Any, field: str) -> Any:
    inner: Any = getattr(message, field)
    inner.SetInParent()
    return inner
