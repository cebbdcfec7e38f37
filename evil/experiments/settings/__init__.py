"""How large everything is, and what goes with what: presets, recipes, algorithms by name."""
