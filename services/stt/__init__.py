"""The stt room: one track's audio goes in without holes, interim and final text comes out.

In: `agent.stt.v1.SpeechService` (StreamingRecognize, Recognize, ListEngines, GetStats), called by ingest and the mesh.
Out: nothing but its answers; the same audio gives the same finals, however it is cut, paced or replayed.
Owns: the speech engines and their models, endpointing; no table and no file.  Calls: no other room.
"""
