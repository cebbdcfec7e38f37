"""Flax modules: multilayer perceptrons, embeddings, actor-critics."""
