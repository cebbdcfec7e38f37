"""Measurements of speed and cost, each beside what it is to be compared with.

programs.py    the programs of the library: stepping, PPO, IRL++, one iteration as published
suite.py       all of them beside their rooflines
scaling.py     with lanes, environments and devices
targets.py     many seeds, checkpoints, resuming
sac.py         an update of SAC beside its matrix products
tabular.py     a gradient of maximum causal entropy
commands.py    commands as a user starts them
devices.py     one device and all, in processes that take turns
timing.py      contestants that take turns
roofline.py    what a program cannot do without
regressions.py a suite beside an older one
"""
