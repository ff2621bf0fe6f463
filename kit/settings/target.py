"""Targets: where the replicas of a room are, as one setting."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

from kit.settings.address import split_address

_SCHEME = re.compile(r"(?:dns|ipv4|ipv6|unix|unix-abstract|passthrough|xds):")


def channel_target(target: str) -> str:
    """Return the name under which gRPC finds what a setting says.

    Args:
        target: `host:port`, several of them with commas between, or a name of gRPC's own such as
            `dns:///ingest:8021`. Several hosts are given as addresses: gRPC resolves one name per channel, and a name
            may stand for any number of replicas.

    Raises:
        ValueError: one of several is not an address, or they are not all of one family.
    """
    addresses = [part.strip() for part in target.split(",") if part.strip()]
    if not addresses:
        raise ValueError("names no address")
    if len(addresses) == 1 or _SCHEME.match(target):
        return target if _SCHEME.match(target) else addresses[0]
    families = {_family(address) for address in addresses}
    if len(families) > 1:
        raise ValueError("mixes IPv4 and IPv6 addresses")
    return f"{families.pop()}:{','.join(addresses)}"


def replica_names(target: str) -> list[str]:
    """Return the parts of a target, each of which stands for one replica or, as a name, for any number of them.

    `dns:///ingest:8021` gives `ingest:8021`; what only gRPC understands is given back as it is.
    """
    scheme = _SCHEME.match(target)
    if scheme is None:
        return [part.strip() for part in target.split(",") if part.strip()]
    if scheme[0] == "dns:":
        return [target.rpartition("/")[2].removeprefix("dns:")]
    if scheme[0] in ("ipv4:", "ipv6:"):
        return target.removeprefix(scheme[0]).split(",")
    return [target]


def _family(address: str) -> str:
    host, _ = split_address(address)
    try:
        return f"ipv{ipaddress.ip_address(host).version}"
    except ValueError:
        raise ValueError(
            f"{host} is a name; a list takes addresses, replicas behind a name are dns:///{host}"
        ) from None


def _checked(value: str) -> str:
    channel_target(value)
    return value


Target = Annotated[str, AfterValidator(_checked)]
"""A setting that says where a room is: one `host:port`, several with commas between, or a gRPC name."""
