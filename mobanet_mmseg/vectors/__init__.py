"""All that knows polygons: reads them, traces those of a label map, counts in them."""
