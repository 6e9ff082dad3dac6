"""Where a difference starts. Knows no cause."""
