"""Documents: files, pages and help, split into passages by their structure, stored beside the notebook, and found.

``formats.py`` reads a format each, ``sources.py`` finds what a user names, ``store.py`` keeps, ``ranking.py`` ranks;
``library.py`` is what the rest of the package uses.
"""
