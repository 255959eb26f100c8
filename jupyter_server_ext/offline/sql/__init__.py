"""Questions about a schema, answered in SQL."""
