"""The way to providers: dialects, presets and the transport that chooses keys."""
