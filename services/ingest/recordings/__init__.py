"""Recordings: tracks sealed when a session ends, mixed and encoded when somebody listens."""
