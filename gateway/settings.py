"""Settings of the gateway room: GATEWAY_*."""

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt
from pydantic_settings import NoDecode, SettingsConfigDict

from kit.settings import Address, CommaList, Section


def _servers(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        servers = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError("is not JSON") from error
    if not isinstance(servers, list) or not all(isinstance(one, dict) and one.get("urls") for one in servers):
        raise ValueError('is a list of objects with "urls"')
    return servers


IceServers = Annotated[list[dict[str, Any]], NoDecode, BeforeValidator(_servers)]
"""What browsers take as RTCConfiguration.iceServers, written as JSON."""


class GatewaySettings(Section):
    """The gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    listen: Address = "127.0.0.1:8010"
    """Address of HTTP: REST, WebSockets, pages, `/health` and `/metrics`."""
    grpc_listen: Address = "127.0.0.1:8011"
    """gRPC address of the room, for the console."""
    ice_servers: IceServers = Field(default_factory=list)
    """STUN and TURN servers for calls, as JSON: `[{"urls": "stun:stun.example.org:3478"}]`; empty: none."""
    allowed_origins: CommaList = ()
    """Origins of other pages that may open WebSockets here, between commas: `https://app.example.org`."""
    request_timeout_seconds: PositiveFloat = 30.0
    """Longest time for one REST call; a client may ask for less with `Grpc-Timeout`."""
    max_body_bytes: PositiveInt = 12 * 1024 * 1024
    """Largest HTTP body; a chunk of 8 MiB in base64 fits."""
    room_members: Annotated[int, Field(ge=2, le=64)] = 16
    """Members of a call at a time, recorders among them."""
