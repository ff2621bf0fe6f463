"""The gateway room: the mesh's face to browsers, programs and operators.

In: HTTP, WebSockets and signalling from people and programs; WatchConsole from the operator's console.
Out: REST, events and acknowledgements; pages; one console stream that joins every room.
Owns: nothing that lasts; the members of running calls, in memory.
Calls: every room over gRPC; people's credentials travel on, the rooms decide.
"""
