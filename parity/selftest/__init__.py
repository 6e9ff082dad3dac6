"""The harness on functions of its own: how often it raises a false alarm, how often it misses.

`jax_healthy.py` and `torch_healthy.py` are twins; `torch_faulty.py` spoils some of the latter.
"""
