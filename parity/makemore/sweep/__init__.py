"""Many training runs at once: their axes, their waves, their folder, and what they amount to."""
