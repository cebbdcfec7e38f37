"""Everything that is not mathematics: compiling, logging, saving, stopping, resuming."""
