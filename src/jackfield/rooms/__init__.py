"""Rooms, sans-I/O: who is in them, what is said to all, and how fast one may speak."""
