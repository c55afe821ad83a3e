"""A wide raster is predicted in bands of columns, as without them."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine, from_origin

from mobanet_mmseg.inference import predict
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.inference.warped_rows import WarpedRows
from mobanet_mmseg.rasters.windows import read_info
from mobanet_mmseg.tiling.sliding_window import Rows, sweep
from mobanet_mmseg.tiling.windows import Tiling, plan_strips, share_strips

SIZE = 19, 700  # three bands of at most 256 columns


@pytest.mark.parametrize('batch_size', [1, 3, 200])
@pytest.mark.parametrize('blend', [None, 'gaussian'])
@pytest.mark.parametrize('stride', [(4, 5), (8, 12), (3, 7)])
def test_bands_sum_the_same_windows_in_the_same_order(stride, blend, batch_size):
    tiling = Tiling((8, 12), stride, batch_size, blend)
    image = torch.randn(1, 2, *SIZE)
    ramp = torch.arange(8.0)[:, None] * torch.arange(12.0)

    def network(windows):  # each pixel's logits depend on where it lies in its window
        return torch.cat([windows.sin() * ramp, windows[:, :1] - ramp], dim=1)

    def predicted(strips):
        whole = torch.full((1, 3, *SIZE), torch.nan)
        rows = (Rows(image[..., slice(*s.read), slice(*s.columns)]) for s in strips)
        for done in sweep(network, 3, rows, strips, SIZE, tiling):
            height, width = done.logits.shape[-2:]
            there = slice(done.row, done.row + height), slice(done.column, done.column + width)
            assert whole[..., *there].isnan().all()  # each pixel once
            whole[..., *there] = done.logits
        return whole

    bands = plan_strips(*SIZE, tiling, max_width=256)
    assert {strip.done_columns for strip in bands} == {(0, 256), (256, 512), (512, 700)}
    assert predicted(bands).equal(predicted(plan_strips(*SIZE, tiling)))


def test_a_band_runs_again_only_what_reaches_over_its_edge():
    tiling = Tiling((256, 256), (128, 128))
    bands = plan_strips(256, 2048, tiling, max_width=1024)
    assert [len(strip.windows) for strip in bands] == [8, 8]  # 15, and the one at 896 twice
    assert [strip.columns for strip in bands] == [(0, 1152), (896, 2048)]


def test_each_process_gets_its_share_of_every_band():
    strips = plan_strips(40, 600, Tiling((8, 8), (8, 8)), max_width=512)
    shares = [share_strips(strips, rank, 2) for rank in range(2)]
    assert [[(s.done, s.done_columns) for s in share][::3] for share in shares] == [
        [((0, 8), (0, 512)), ((8, 16), (512, 600))],
        [((16, 24), (0, 512)), ((16, 24), (512, 600))],
    ]


def test_files_are_predicted_in_bands_as_whole(scene, tmp_path, monkeypatch):
    place = {'crs': 'EPSG:32633', 'transform': from_origin(0, 10, 1, 1), 'driver': 'GTiff'}
    rng = np.random.default_rng(0)
    shape = {'height': 37, 'width': 700}
    rgb, aux, out = (tmp_path / name for name in ('wide.tif', 'wide_aux.tif', 'wide_out.tif'))
    with rasterio.open(rgb, 'w', count=3, dtype='uint8', nodata=0, **shape, **place) as image:
        image.write(rng.integers(0, 3, (3, 37, 700), np.uint8) * 100)
    with rasterio.open(aux, 'w', count=1, dtype='float32', **shape, **place) as image:
        image.write(rng.random((1, 37, 700), np.float32))
    inferencer = MultimodalInferencer(scene['config'], scene['checkpoint'], device='cpu')
    whole = inferencer(rgb, aux, probabilities=True)
    monkeypatch.setattr(predict, 'BAND_BYTES', 0)
    advances = []
    counts = inferencer.predict_file(
        rgb, aux, out, probabilities=True, advance=lambda rows, total: advances.append(rows)
    )
    strips = predict.plan_raster(
        inferencer.model, inferencer.open_pair(rgb, aux), inferencer.settings
    )
    assert len({strip.done_columns for strip in strips}) == 2
    with rasterio.open(out) as labels, rasterio.open(out.with_stem('wide_out_probabilities')) as p:
        np.testing.assert_array_equal(labels.read(1), whole.labels)
        np.testing.assert_array_equal(p.read(1) == 255, np.isnan(whole.probabilities[0]))
    np.testing.assert_array_equal(inferencer(rgb, aux).labels, whole.labels)
    assert counts.sum() == 37 * 700
    assert sum(advances) == pytest.approx(37)


def test_columns_of_a_pair_are_those_of_the_whole_rows(scene):
    options = {'img_bands': (1, 2, 3), 'aux_bands': (1,), 'aux_range': 'tile'}
    with PairReader(scene['rgb'], scene['aux'], **options) as pair:
        rows, valid = pair.read_rows(3, 30)
        part, part_valid = pair.read_rows(3, 30, (7, 41))
    np.testing.assert_array_equal(part, rows[..., 7:41])
    np.testing.assert_array_equal(part_valid, valid[:, 7:41])


def test_columns_of_a_warped_raster_are_those_of_the_whole_rows(scene, tmp_path):
    with rasterio.open(scene['rgb']) as image:
        grid = read_info(scene['rgb'])
        place = {'crs': image.crs, 'transform': image.transform * Affine.scale(2.5)}
    coarse = tmp_path / 'coarse.tif'
    shape = {'count': 1, 'dtype': 'float32', 'height': 15, 'width': 22}
    with rasterio.open(coarse, 'w', 'GTiff', **shape, **place) as raster:
        raster.write(np.arange(330, dtype=np.float32).reshape(1, 15, 22))
    warped = WarpedRows(read_info(coarse), grid, (1,))
    warped.width = 16  # cells' edges within the columns
    whole = warped.read(0, 37)
    for columns in ((0, 53), (7, 41), (16, 32), (50, 53)):
        np.testing.assert_array_equal(warped.read(0, 37, columns), whole[:, slice(*columns)])
    warped.close()
