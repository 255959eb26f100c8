"""Judge prompts, checks and repair by what a model answers: ``make eval URL=… MODEL=…`` (docs/evaluation.md)."""
