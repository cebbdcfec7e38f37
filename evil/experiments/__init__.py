"""Whole studies: which phases the runner goes through, and what is measured at the end.

Each module here is a study: recover, clone, dagger, expert, planned, finite, shape, transfer; and
evaluate, which judges what another run left. `settings` says how large they are, `series` carries
out many of them, `shared` is what several have in common.
"""
