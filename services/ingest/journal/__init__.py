"""Journals: a session's audio on disk, in parts, each behind its owner's fence."""
