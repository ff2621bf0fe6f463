"""The connector: the visible recorder in a call.

In: Join, Leave and Reconnect over gRPC; a call's signalling and Opus packets over WebRTC, or its chunks over HTTP.
Out: each participant's 16 kHz audio, exact to the sample, over StreamAudio (or chunk by chunk) to ingest.
Owns: connector_sessions with their transitions and notices, operations, decisions, breakers; nothing of the audio once
    ingest has it on disk.
Calls: ingest (AudioService, MeetingService), the gateway's room signalling, the providers of calls.
"""
