"""Providers: the kinds of call that the recorder can join, one file each."""
