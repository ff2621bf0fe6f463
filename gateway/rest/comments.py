"""The contract's comments, by full name: generated code drops them, so they are read from the proto files."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# Field numbers in descriptor.proto: a location's path is made of them and of indexes.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2


def read_comments(proto: Path) -> Mapping[str, str]:
    """Return the leading comments of everything under a directory of proto files. Needs grpcio-tools."""
    files = sorted(str(path.relative_to(proto)) for path in proto.rglob("*.proto"))
    well_known = resources.files("grpc_tools").joinpath("_proto")
    annotations = Path(str(resources.files("google.api").joinpath("annotations.proto"))).parents[2]
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "image"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"-I{annotations}", f"-I{well_known}"]
        command += [f"--descriptor_set_out={image}", "--include_source_info", *files]
        subprocess.run(command, check=True)
        described = FileDescriptorSet.FromString(image.read_bytes())
    return {name: text for file in described.file for name, text in _of_file(file) if text}


def _of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {
        tuple(location.path): " ".join(location.leading_comments.split()) for location in file.source_code_info.location
    }
    for path, name in _names(file):
        yield name, texts.get(path, "")


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _of_message(message, (_MESSAGES, index), f"{file.package}.{message.name}")
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, (_ENUMS, index), f"{file.package}.{enum.name}")
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (_SERVICES, index), name
        for number, method in enumerate(service.method):
            yield (_SERVICES, index, _METHODS, number), f"{name}.{method.name}"


def _of_message(message: Any, path: tuple[int, ...], name: str) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _FIELDS, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _of_message(nested, (*path, _NESTED, index), f"{name}.{nested.name}")
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, (*path, _NESTED_ENUMS, index), f"{name}.{enum.name}")


def _of_enum(enum: Any, path: tuple[int, ...], name: str) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, _VALUES, index), f"{name}.{value.name}"
