"""The `agent` command: the whole mesh on one machine, or one room of it.

In: the command line, the environment, audio files to transcribe.
Out: running rooms, their status, transcripts, reports.
Owns: the supervisor's processes, the embedded PostgreSQL, generated keys.
Calls: every room over gRPC and the gateway over HTTP, as any client does.
"""
