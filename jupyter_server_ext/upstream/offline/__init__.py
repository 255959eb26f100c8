"""The embedded provider: deterministic and rule-based, useful with no key at all."""
