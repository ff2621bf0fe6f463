"""Replicas of the room: whose a meeting is, and how a call for it gets there."""
