"""Renderers: the transcript and the report as files; the same input gives the same bytes."""
