import numpy as np
import pytest
from scenes.limits import no_root
from scenes.rasters import write_raster

from mobanet_mmseg.rasters.files import read_info


def test_a_raster_that_may_not_be_read_is_named(open_folder):
    path = write_raster(open_folder / 'a.tif', np.zeros((4, 5), np.uint8))
    path.chmod(0)
    with no_root(), pytest.raises(ValueError, match=r'a\.tif may not be read: give yourself the'):
        read_info(path)


def test_a_folder_that_may_not_be_entered_is_named(open_folder):
    path = write_raster(open_folder / 'shut' / 'a.tif', np.zeros((4, 5), np.uint8))
    path.parent.chmod(0)
    with no_root(), pytest.raises(ValueError, match=r'shut/a\.tif may not be read: give yourself'):
        read_info(path)
