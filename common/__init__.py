"""Helpers shared by the exercises; the scripts at the top level read like the assignment."""
