"""Finite worlds, solved exactly, and the rewards that explain what was done in them.

dynamics.py     transitions as a dense array, as a table with noise, or as a grid
mdp.py          MDP, from arrays that are checked
planning.py     soft and hard value iteration, finite or infinite horizon
occupancy.py    where a policy goes, and what it returns, without sampling
paths.py        the partition function of paths, in log space
trajectories.py demonstrations and rollouts as numbers of states, and their visit counts
rewards.py      rewards as tables, linear in features, or networks
optimisers.py   SGD, Adam, exponentiated gradient, L-BFGS
fitting.py      what the three methods share: a convex loss of the reward
maxent.py mce.py relent.py      maximum entropy, causal entropy, relative entropy
worlds.py       environments as finite worlds
policies.py     tables as policies, and policies as tables
distances.py    how far a reward is from the true one
"""
