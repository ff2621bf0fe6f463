"""STUN and TURN servers, as settings hold them."""

import json
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


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
