"""What stands behind the tables: comparisons that take minutes, each one command."""
