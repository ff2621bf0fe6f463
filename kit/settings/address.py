"""Addresses to listen on: `host:port`, IPv6 hosts in brackets."""

from typing import Annotated

from pydantic import AfterValidator


def split_address(address: str) -> tuple[str, int]:
    """Return host and port; port 0 means any free one.

    Raises:
        ValueError: the address has another form, or there is no such port.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()):
        raise ValueError("not an address of the form host:port")
    if int(port) > 65535:
        raise ValueError("not an address: ports end at 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _checked(value: str) -> str:
    split_address(value)
    return value


Address = Annotated[str, AfterValidator(_checked)]
"""A setting that is an address to listen on, `host:port`."""
