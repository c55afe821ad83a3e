"""Will these data hurt? Measured, judged and tabled, tile by tile."""
