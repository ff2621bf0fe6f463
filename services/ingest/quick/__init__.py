"""Quick recordings: a link in, a recording out.

In      RecorderService; the clock.
Out     a meeting whose recorder is sent in and taken out, and where its sound can be fetched.
Owns    quick_recordings.
Calls   the connector through `recorder`, meetings and recordings of this room.
"""
