"""What is compared: pairs, their inputs, their corners, run in every dtype. Knows no verdict."""
