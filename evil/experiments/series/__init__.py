"""Many runs and what they say together: leagues, the study of recipes, sweeps, searches."""
