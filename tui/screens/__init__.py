"""Screens: each lays widgets out and binds its keys."""
