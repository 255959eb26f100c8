"""The rules by subject, in the order in which they see a question."""
