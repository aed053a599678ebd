"""The report: its text (solutions.typ and parts), its builder, and the picture of the README."""
