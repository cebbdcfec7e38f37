"""Whole studies: which phases the runner goes through, and what is measured at the end."""
