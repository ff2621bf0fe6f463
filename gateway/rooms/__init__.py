"""Calls: rooms where browsers and the recorder find each other; sound flows between them, never through here."""
