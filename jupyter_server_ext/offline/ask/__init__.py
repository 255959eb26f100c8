"""Questions about frames, R objects, code, errors and terms."""
