"""Sessions: the recorder in calls, and what is remembered of it."""
