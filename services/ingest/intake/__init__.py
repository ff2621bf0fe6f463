"""Intake: audio on its way in, by stream or in chunks, as sessions of tracks."""
