"""The ingest room: audio is acknowledged when it is on disk, becomes text, and every second of it is accounted for.

In: `agent.ingest.v1` MeetingService, AudioService, InternalAudioService, called by connector, gateway and the mesh.
Out: segments, interims, insights and coverage of each meeting, live (WatchMeeting) and stored; a `build_report` job.
Owns: the journals, the sealed tracks; meetings, participants, audio_sessions, tracks, segments, coverage.
Calls: stt (StreamingRecognize), report (FollowTranscript), connector (Join, Leave).
"""
