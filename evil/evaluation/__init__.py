"""What a policy and a reward are worth: full episodes, retraining, statistics."""
