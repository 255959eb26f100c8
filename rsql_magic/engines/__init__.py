"""Engines run guarded SQL read-only, within bounds of time, rows and memory."""
