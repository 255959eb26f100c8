"""What is known of SQL dialects: a record of each, how they are read, their functions and system tables."""
