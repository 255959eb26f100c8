"""Ask questions where your data is: ``%%ask`` and ``%%sql_ai`` for people who work in R and SQL on Jupyter."""
