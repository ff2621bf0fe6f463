"""The operator's console, `agent-console`: the mesh at a glance, over SSH.

In: one WatchConsole stream of the gateway.
Out: a full-screen overview; plain lines or JSON for scripts.
Owns: nothing that lasts; the newest rows, in memory.
Calls: the gateway over gRPC, with a service key.
"""
