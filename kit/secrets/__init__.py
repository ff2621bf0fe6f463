"""Secrets kept elsewhere: read once, before the settings."""
