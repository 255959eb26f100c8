"""What lasts of a panel: conversations and what their answers made, sealed in one SQLite file of the user.

``sealing.py`` encrypts, ``store.py`` holds the file, ``records.py`` turns questions and answers into what is written,
``writing.py`` writes beside the work, so that no answer waits for a disk.
"""
