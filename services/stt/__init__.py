"""The stt room: one track's audio goes in without holes, interim and final text comes out.

In: `agent.stt.v1.SpeechService` (StreamingRecognize, Recognize, ListEngines, GetStats), called by ingest and the mesh.
Out: its answers, and sound to a transcription service where one is set; the same audio is cut the same way every time.
Owns: the speech engines and their models, endpointing; no table and no file.  Calls: no other room.
"""
