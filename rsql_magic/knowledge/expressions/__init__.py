"""The expression language of data-dict.yaml: parsed, checked, and written as SQL of DuckDB.

The language is described at https://data-dict.tidyverse.org/expressions.html. An expression reads one row at a time,
and aggregates fold a column over all rows; where both meet, the aggregate becomes a window over the whole table. Names
of other definitions stay as they are.
"""
