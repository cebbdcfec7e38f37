"""Shaping: terms that make a reward teach faster, found by evolution."""
