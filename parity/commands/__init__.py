"""One file a command: its options, its run, its exit code."""
