"""Quick recording on a desktop: what the loudspeaker plays, in overlapping segments on disk, and one MP3 of it.

In      the system's audio monitor, or a file.
Out     a folder: segments, recording.mp3, and if asked for transcript, report, an e-mail.
Calls   the agent's REST interface, the user's own SMTP server.
"""
