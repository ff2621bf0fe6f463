"""Uploads as browsers and curl send them: multipart/form-data with one file and text fields beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from kit.errors import InvalidArgument

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MEDIA_TYPE = "multipart/form-data"

_MAX_PARTS = 64
_MAX_FIELD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A form that was sent.

    `fields` holds the text of each field, several where it was given several times.
    """

    file: bytes
    file_name: str
    content_type: str
    fields: Mapping[str, Sequence[str]]


def read_upload(content_type: str, body: bytes, *, file_field: str) -> Upload:
    """Take a form apart.

    Args:
        content_type: the request's header; it tells the boundary.
        body: the whole body.
        file_field: what the file is for, to name it when it is missing; its part may have any name.

    Raises:
        InvalidArgument: it is no such form or not a whole one, has no file or several, or too much beside it.
    """
    form = _Form()
    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise _refused("there is no boundary")
        parser = MultipartParser(boundary, form.callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError, ValueError) as error:
        raise _refused("it cannot be read") from error
    if not form.whole:
        raise _refused("it ends in the middle")
    files = [part for part in form.parts if part.file_name is not None]
    if not files:
        raise InvalidArgument("is missing; give a part a filename", field=file_field)
    if len(files) > 1:
        raise InvalidArgument("is one file, not several", field=file_field)
    fields: dict[str, list[str]] = {}
    for part in form.parts:
        if part.file_name is None:
            fields.setdefault(part.name, []).append(part.text())
    return Upload(bytes(files[0].data), files[0].file_name or "", files[0].content_type, fields)


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    file_name: str | None = None
    data: bytearray = field(default_factory=bytearray)

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")

    def text(self) -> str:
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgument("is not UTF-8 text", field=self.name) from error


class _Form:
    """Collects parts while a parser calls back."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.whole = False
        self._header = b""
        self._value = b""

    @property
    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == _MAX_PARTS:
            raise _refused(f"it has more than {_MAX_PARTS} parts")
        self.parts.append(_Part())

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self.parts[-1].headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        part = self.parts[-1]
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise _refused("a part has no name")
        part.name = options[b"name"].decode(errors="replace")
        if b"filename" in options:
            part.file_name = options[b"filename"].decode(errors="replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        part.data += data[start:end]
        if part.file_name is None and len(part.data) > _MAX_FIELD_BYTES:
            raise InvalidArgument(f"must have at most {_MAX_FIELD_BYTES} bytes", field=part.name)

    def _end(self) -> None:
        self.whole = True


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"the body is not {MEDIA_TYPE}: {why}", field="body")
