"""The Python face takes images of any kind: arrays, paths, open rasters, and mixes them."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from scenes.inferencer import known
from scenes.prediction import (
    ROTATED,
    UTM,
)
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.inference.inferencer import (
    MultimodalInferencer,
)


@pytest.fixture
def arrays(scene):
    return read_raster(scene['rgb']), read_raster(scene['aux'])


KINDS = ['array', 'path', 'text', 'dataset', 'memory', 'warped']


def as_kind(kind, path, stack):
    """The same image as an array, a path or an open raster."""
    if kind == 'array':
        return read_raster(path)
    if kind in ('path', 'text'):
        return path if kind == 'path' else str(path)
    if kind == 'memory':
        return stack.enter_context(stack.enter_context(MemoryFile(path.read_bytes())).open())
    dataset = stack.enter_context(rasterio.open(path))
    if kind == 'dataset':
        return dataset
    grid = {'crs': UTM, 'transform': ROTATED, 'height': dataset.height, 'width': dataset.width}
    return stack.enter_context(WarpedVRT(dataset, **grid))


@pytest.mark.parametrize('aux', KINDS)
@pytest.mark.parametrize('rgb', KINDS)
def test_images_of_any_kind_and_mixed_give_equal_results(scene, rgb, aux):
    with ExitStack() as stack:
        images = as_kind(rgb, scene['rgb'], stack), as_kind(aux, scene['aux'], stack)
        prediction = known(scene)(*images, confidence=True)
        for image in images:
            assert not getattr(image, 'closed', False)
    assert np.array_equal(prediction.labels, scene['expected'])
    placed = rgb != 'array'
    assert prediction.crs == (UTM if placed else None)
    assert prediction.transform == (ROTATED if placed else Affine.identity())


@pytest.mark.parametrize('kind', ['dataset', 'memory', 'masked'])
def test_nodata_of_open_rasters_and_masked_arrays_is_that_of_the_file(tiny, kind):
    """In a network that sees its neighbours, what lies under nodata counts, too."""
    for path, value in zip(tiny['pair'], (77, 0.5), strict=True):
        with rasterio.open(path, 'r+') as raster:
            pixels = raster.read()
            pixels[:, 20:40, 30:50] = value
            pixels[0, 3, 3] = value
            raster.nodata = value
            raster.write(pixels)
    model = MultimodalInferencer(*tiny['model'], device='cpu')
    expected = model(*tiny['pair'], confidence=True)
    assert (expected.labels[20:40, 30:50] == 255).all()
    assert expected.labels[3, 3] != 255  # one band of three
    with ExitStack() as stack:
        if kind == 'masked':
            rgb, aux = (rasterio.open(path).read(masked=True) for path in tiny['pair'])
            images = np.moveaxis(rgb, 0, -1), aux[0]
        else:
            images = [as_kind(kind, path, stack) for path in tiny['pair']]
        found = model(*images, confidence=True)
    assert np.array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_overview_that_is_open_is_read_as_it_is(scene):
    pixels = np.repeat(np.repeat(read_raster(scene['rgb']), 2, axis=0), 2, axis=1)
    finer = ROTATED @ Affine.scale(0.5)
    place = {'crs': UTM, 'transform': finer}
    path = write_raster(scene['out'].with_name('fine.tif'), pixels, **place)
    with rasterio.open(path, 'r+') as raster:
        raster.build_overviews([2])
    with rasterio.open(path, overview_level=0) as overview:
        prediction = known(scene)(overview, scene['aux'])
    assert np.array_equal(prediction.labels, scene['expected'])


def test_open_rasters_on_other_grids_are_warped_as_files_are(scene):
    shifted = ROTATED @ Affine.translation(9, 0)
    write_raster(scene['aux'], read_raster(scene['aux']), crs=UTM, transform=shifted)
    expected = known(scene)(scene['rgb'], scene['aux']).labels
    assert (expected == 3).any()
    with ExitStack() as stack:
        rgb, aux = (as_kind('memory', scene[name], stack) for name in ('rgb', 'aux'))
        for other in (aux, scene['aux']):
            assert np.array_equal(known(scene)(rgb, other).labels, expected)


def test_missing_file_beside_an_array_is_named(scene, arrays):
    with pytest.raises(FileNotFoundError, match=r'none\.tif does not exist'):
        known(scene)(scene['out'].with_name('none.tif'), arrays[1])
    with pytest.raises(FileNotFoundError, match=r'none\.tif does not exist'):
        known(scene)(arrays[0], 'none.tif')


@pytest.mark.parametrize('image', [None, [[1.0]], torch.ones(37, 53)], ids=type)
def test_what_is_no_image_is_named(scene, image):
    with pytest.raises(ValueError, match=f'An image is a {type(image).__name__}: give a numpy'):
        known(scene)(image, scene['aux'])
    if image is not None:
        with pytest.raises(ValueError, match=f'An image is a {type(image).__name__}: give a nu'):
            known(scene)(scene['rgb'], image)


def test_bands_are_those_of_the_config(scene):
    options = {'test_dataloader.dataset.img_bands': (3, 2, 1)}
    model = known(scene, cfg_options=options)
    with ExitStack() as stack:
        for kind in ('path', 'memory'):
            labels = model(as_kind(kind, scene['rgb'], stack), scene['aux']).labels
            assert (labels[:5, :20] == 2).all()  # red is the third channel now


def test_ranges_of_heights_are_taken_for_arrays_and_files(scene, arrays):
    model = known(scene)
    for images in ((scene['rgb'], scene['aux']), arrays):
        labels = model(*images, aux_range=(10, 1010)).labels
        assert not (labels == 3).any()  # 30 m become 0.02, below everything
        found = model(*images, aux_range='tile').labels
        assert np.array_equal(found, scene['expected'])
        with pytest.raises(ValueError, match="aux_range='tiles': give 'tile', a pair"):
            model(*images, aux_range='tiles')


def test_config_may_be_an_open_one(scene):
    config = Config.fromfile(scene['config'])
    model = MultimodalInferencer(config, scene['checkpoint'], device='cpu')
    assert np.array_equal(model(scene['rgb'], scene['aux']).labels, scene['expected'])


def test_one_inferencer_predicts_many_pairs_and_leaves_no_thread(scene, arrays):
    model = known(scene)
    before = threading.active_count()
    for images in ((scene['rgb'], scene['aux']), arrays) * 3:
        assert np.array_equal(model(*images).labels, scene['expected'])
    assert threading.active_count() == before
