"""The notebook's network and its hand-written backward passes in JAX: pure functions.

Never imports torch. `torch_ref` holds the same files with the same names in the same order.
"""
