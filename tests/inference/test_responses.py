import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from scenes.inferencer import write_tiny_scene
from scenes.prediction import ROTATED, UTM
from scenes.rasters import write_raster

from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.responses import Region, find_class, respond
from mobanet_mmseg.models.responses import ResponseMaps
from mobanet_mmseg.tiling.windows import Window

EMPTY = dict(nodata=0, crs=UTM, transform=ROTATED)


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    init_default_scope('mmseg')
    return write_tiny_scene(tmp_path_factory.mktemp('responses'))


def test_one_window_gives_what_the_network_gives(scene):
    options = {'test_dataloader.dataset.aux_range': None}
    inferencer = MultimodalInferencer(
        *scene['model'], device='cpu', window=(61, 95), cfg_options=options
    )
    found = respond(inferencer, Region(*scene['pair'], Window(0, 0, 61, 95)), 'green')
    padded = torch.nn.functional.pad(scene['inputs'], (0, -95 % 14, 0, -61 % 14))
    maps = ResponseMaps(inferencer.model, label=1)
    logits = maps.weigh(padded, (61, 95))
    expected = maps.respond(padded, (61, 95))[0].numpy()
    np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=1e-4 * expected.max())
    np.testing.assert_array_equal(found.prediction, logits[0].argmax(dim=0))
    assert expected.max() > 0
    streams = expected[1:].sum(axis=(1, 2))
    for stream, own in zip(('rgb', 'aux'), streams, strict=True):
        assert found.of_both[stream] == pytest.approx(own / streams.sum(), rel=1e-3)
    assert np.isnan(found.of_class)
    assert found.labels is None


def test_a_region_is_that_part_of_the_raster_and_its_response_is_counted_on_the_truth(scene):
    inferencer = MultimodalInferencer(*scene['model'], device='cpu', window=28, stride=14)
    whole_truth = np.zeros((61, 95), np.uint8)
    whole_truth[:, 40:] = 1
    whole_truth[20:30] = 255
    window = Window(14, 28, 35, 50)
    asked = []

    def truth(part):
        asked.append(part)
        return whole_truth[part.rows, part.cols]

    found = respond(inferencer, Region(*scene['pair'], window, truth), 'green')
    assert found.maps.shape == (3, 35, 50)
    assert found.images.shape == (4, 35, 50)
    raw = scene['inputs'][0, :3].numpy() * 50 + 100
    np.testing.assert_allclose(found.images[:3], raw[:, 14:49, 28:78], atol=1e-3)
    np.testing.assert_array_equal(found.labels, whole_truth[14:49, 28:78])
    labelled = found.labels < 3
    own = found.labels == 1
    assert found.of_class == pytest.approx(own.sum() / labelled.sum())
    for index, branch in enumerate(('fused', 'rgb', 'aux')):
        whole = found.maps[index][labelled].sum()
        expected = found.maps[index][own].sum() / whole if whole else np.nan
        assert found.within[branch] == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert (asked[0].row, asked[0].col, asked[-1].bottom) == (14, 28, 49)


def test_a_region_without_optical_data_is_refused(scene, tmp_path):
    empty = write_raster(tmp_path / 'rgb.tif', np.zeros((61, 95, 3), np.uint8), **EMPTY)
    inferencer = MultimodalInferencer(*scene['model'], device='cpu')
    region = Region(empty, scene['pair'][1], Window(1, 2, 30, 40))
    with pytest.raises(ValueError, match='has no optical data in rows 1 to 30, columns 2 to 41'):
        respond(inferencer, region, 'green')


def test_a_class_is_found_by_its_name():
    names = ('impervious_surface', 'Car')
    assert find_class(names, 'impervious surface') == 0
    assert find_class(names, 'car') == 1
    with pytest.raises(ValueError, match="no class 'cars': give one of impervious_surface, Car"):
        find_class(names, 'cars')
