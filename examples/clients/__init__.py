"""Clients to copy from: each is one file, reads from top to bottom and says at its head how to run it."""
