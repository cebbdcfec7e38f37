"""Flax modules: multilayer perceptrons, actor-critics."""
