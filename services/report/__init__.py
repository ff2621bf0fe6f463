"""The report room.

In: finals of a running meeting (FollowTranscript); the queue "report": build_report, report, deliver.
Out: live insights with their quotes; the report and its artifacts, in text, Markdown, JSON, SRT and VTT; webhooks.
Owns: the tables reports, artifacts and deliveries; the artifacts' bytes in the blob store.
Calls: the webhook's receiver; it reads meetings, participants, segments and coverage from the store.
"""
