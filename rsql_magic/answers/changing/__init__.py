"""Changes of a notebook that a model proposes: read, checked, and judged by what they would do; nothing is run here."""
