"""The notebook's network and its hand-written backward passes in torch: pure functions.

Never imports JAX. `jax_impl` holds the same files with the same names in the same order.
"""
