"""Windows that cover an image, and what slides over them: torch at most, no model and no raster."""
