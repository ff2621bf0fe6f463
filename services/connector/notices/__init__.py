"""Notices: who in a call was told of the recording, when and how, and who withdrew from it."""
