"""For learners: their own backward passes judged, line by line, with the mistake named."""
