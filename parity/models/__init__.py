"""Whole models: their weights matched, a pair of modules made a pair of functions."""
