"""The harness: identical seeded inputs to both frameworks, every gradient compared and judged.

Imports neither framework until something is run.
"""
