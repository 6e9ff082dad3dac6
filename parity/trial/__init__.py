"""One seed of a pair, run in every corner and judged. Knows no place and no cause."""
