"""Every service of the contract on one server, behind the real gate; whoever gets in meets nobody: UNIMPLEMENTED."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

import agent
from agent.common.v1 import access_pb2
from gateway.app import Gateway, open_gateway
from gateway.settings import GatewaySettings
from kit.auth.authenticator import Authenticator
from kit.lifecycle import Shutdown
from kit.rpc.server import RpcServer, RpcService, open_server
from kit.settings import RpcSettings, TargetSettings


def services() -> list[tuple[ServiceDescriptor, ModuleType]]:
    """Return every service that the contract has, with the module of its generated code."""
    return [
        (service, importlib.import_module(f"{module.__name__}_grpc"))
        for module in _modules()
        for service in module.DESCRIPTOR.services_by_name.values()
    ]


def methods() -> list[MethodDescriptor]:
    """Return every RPC."""
    return [method for service, _ in services() for method in service.methods]


def access_of(method: MethodDescriptor) -> access_pb2.Access:
    """Return who may call an RPC."""
    return method.GetOptions().Extensions[access_pb2.access]


@asynccontextmanager
async def serving_everything(auth: Authenticator) -> AsyncIterator[RpcServer]:
    """Serve for the block."""
    served = [
        RpcService(
            service,
            getattr(module, f"{service.name}Servicer")(),
            getattr(module, f"add_{service.name}Servicer_to_server"),
        )
        for service, module in services()
    ]
    async with open_server("127.0.0.1:0", services=served, auth=auth, room="everything") as server:
        yield server


@asynccontextmanager
async def gateway_before_everything(auth: Authenticator) -> AsyncIterator[Gateway]:
    """Run the real gateway whose rooms are all one server with everything."""
    async with serving_everything(auth) as server:
        targets: dict[str, Any] = {
            f"{room}_target": server.address for room in ("ingest", "stt", "connector", "report")
        }
        opening = open_gateway(
            GatewaySettings(listen="127.0.0.1:0", grpc_listen="127.0.0.1:0"),
            TargetSettings(**targets),
            auth,
            Shutdown(),
            service_key=None,
            rpc=RpcSettings(grpc_grace_seconds=1.0),
        )
        async with opening as gateway:
            yield gateway


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(agent.__path__, "agent."):
        if found.name.endswith("_service_pb2"):
            yield importlib.import_module(found.name)
