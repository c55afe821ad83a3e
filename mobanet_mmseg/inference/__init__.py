"""Tiled prediction of rasters; holds nothing that registers and imports nothing by itself."""
