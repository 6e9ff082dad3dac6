"""Why two right functions differ: one is changed until it is the other. `search.py` begins."""
