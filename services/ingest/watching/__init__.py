"""Watching: what happens in a meeting, told to whoever asks, at whichever replica."""
