"""What of the contract is offered over HTTP, and which room answers it."""

from google.protobuf.descriptor import ServiceDescriptor

from agent.connector.v1 import connector_service_pb2
from agent.console.v1 import admin_service_pb2, console_service_pb2
from agent.ingest.v1 import audio_service_pb2, meeting_service_pb2, recorder_service_pb2
from agent.report.v1 import report_service_pb2

SERVICES: dict[str, tuple[ServiceDescriptor, ...]] = {
    "ingest": (
        meeting_service_pb2.DESCRIPTOR.services_by_name["MeetingService"],
        audio_service_pb2.DESCRIPTOR.services_by_name["AudioService"],
        audio_service_pb2.DESCRIPTOR.services_by_name["InternalAudioService"],
        recorder_service_pb2.DESCRIPTOR.services_by_name["RecorderService"],
    ),
    "connector": (connector_service_pb2.DESCRIPTOR.services_by_name["ConnectorService"],),
    "report": (report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],),
    "gateway": (
        admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
        console_service_pb2.DESCRIPTOR.services_by_name["ConsoleService"],
    ),
}
"""Services by the room that answers them."""

WITHHELD: frozenset[str] = frozenset()
"""Full names of annotated RPCs that answer UNIMPLEMENTED in this release: no route, nothing in the document."""

RAW_BODIES: dict[str, str] = {
    "agent.ingest.v1.AudioService.PutChunk": "content",
    "agent.ingest.v1.InternalAudioService.PutInternalChunk": "content",
}
"""RPCs whose bytes field, within what the body fills, may also come as the body itself with every other field in the
query string, or as the file of a form with the other fields beside it."""

RAW_MEDIA_TYPES = ("audio/*", "application/octet-stream")
"""Media types under which such a body comes."""

FILE_BODIES: dict[str, str] = {"agent.connector.v1.ConnectorService.Publish": "application/sdp"}
"""Media type of the body of RPCs that take a file (an HttpBody); any where nothing is said."""

CREATING: frozenset[str] = frozenset({"agent.connector.v1.ConnectorService.Publish"})
"""RPCs whose room answers 201 with the `Location` of what it made."""


def services() -> tuple[ServiceDescriptor, ...]:
    """Return every service that may have routes."""
    return tuple(service for group in SERVICES.values() for service in group)


def room_of(service: ServiceDescriptor) -> str:
    """Return the room that answers a service."""
    return next(room for room, group in SERVICES.items() if service in group)
