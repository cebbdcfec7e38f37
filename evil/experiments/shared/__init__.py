"""What studies have in common: problems to solve, returns, files, films, comparisons."""
