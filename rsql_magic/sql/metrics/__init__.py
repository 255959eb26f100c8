"""Metrics by their definition: ``MEASURE(name)`` in a query becomes SQL by rule, and other drafts are checked."""
