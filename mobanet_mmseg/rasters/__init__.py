"""All that knows GDAL and no data set: open files, windows, grids, warping, ranges, writing."""
