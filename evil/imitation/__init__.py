"""Compositions of learners, reward models and demonstrations; they name no concrete part."""
