"""The report room.

In: finals of a running meeting (FollowTranscript); jobs "build_report" of the queue "report".
Out: live insights with their quotes; the report and its artifacts, in text, Markdown, JSON, SRT and VTT.
Owns: the tables reports and artifacts; the artifacts' bytes in the blob store.
Calls: nobody; it reads meetings, participants, segments and coverage from the store.
"""
