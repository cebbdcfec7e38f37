"""Reinforcement learning on a reward whose parameters arrive as an argument."""
