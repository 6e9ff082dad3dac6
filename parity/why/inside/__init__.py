"""Why two functions differ, inside the region where they part: tried on the numbers recorded."""
