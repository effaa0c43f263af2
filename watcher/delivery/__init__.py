"""Recorded once, delivered at least once: the store, and what carries events out of it."""
