"""The console over SSH, for operators without a shell on the mesh's machines.

In: SSH connections with a public key. Out: one child process of the console per session, its bytes, its exit code.
Owns: the host key, the users file. Calls: the gateway, which the children ask with the key of their operator's role.
"""
