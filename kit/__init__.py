"""What every room shares and no room owns: settings, errors, RPC, access, telemetry, storage engines, lifetimes.

Importing this package settles gRPC's event engine, which gRPC reads once, when it is imported itself:
a program imports `kit` first.
"""

from kit.rpc import event_engine

event_engine.apply()
