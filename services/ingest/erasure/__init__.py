"""Erasure: meetings and recordings that are to be gone, by wish or by age."""
