"""Arithmetic of judgement on arrays. Knows no framework, no pair and no name of a tensor."""
