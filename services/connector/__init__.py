"""The connector: the visible recorder in a call.

In: Join and Leave over gRPC; a call's signalling and Opus packets over WebRTC.
Out: each participant's 16 kHz audio, exact to the sample, over StreamAudio to ingest.
Owns: connector_sessions, the state of every recorder; nothing of the audio once ingest has it on disk.
Calls: ingest (AudioService), the gateway's room signalling.
"""
