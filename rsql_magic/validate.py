"""`rsql_magic.sql.validate` under its published path."""

from rsql_magic.sql.validate import Problem, validate

__all__ = ["Problem", "validate"]
