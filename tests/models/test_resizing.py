"""The matrices that an exporter writes down resize as torch does."""

import pytest
import torch
import torch.nn.functional as F

from mobanet_mmseg.models.resizing import matrix_of, pooling_matrix, resize_positions


def weights(old, new, mode='bicubic', antialias=False, offset=0.0):
    scale = torch.tensor(old) / (new + offset)
    return matrix_of(torch.tensor(old), torch.tensor(new), scale, mode, antialias)


@pytest.mark.parametrize(('size', 'antialias'), [((7, 3), False), ((2, 9), True)])
def test_bicubic_matrices_are_torchs(size, antialias):
    maps = torch.rand(1, 2, 5, 6)
    rows, columns = (weights(a, b, antialias=antialias) for a, b in zip((5, 6), size, strict=True))
    expected = F.interpolate(maps, size=size, mode='bicubic', antialias=antialias)
    torch.testing.assert_close(rows @ maps @ columns.T, expected)


def test_the_offset_of_dinov2_goes_into_the_scale():
    maps = torch.rand(1, 2, 5, 6)
    rows, columns = weights(5, 7, offset=0.1), weights(6, 3, offset=0.1)
    expected = F.interpolate(maps, scale_factor=(7.1 / 5, 3.1 / 6), mode='bicubic')
    torch.testing.assert_close(rows @ maps @ columns.T, expected)
    torch.testing.assert_close(resize_positions(maps, (7, 3), offset=0.1), expected)


@pytest.mark.parametrize('new', [3, 9])
def test_linear_matrices_are_torchs(new):
    table = torch.rand(1, 2, 5)
    expected = F.interpolate(table, size=new, mode='linear')
    torch.testing.assert_close(table @ weights(5, new, 'linear').T, expected)


def test_pooling_matrices_are_torchs():
    maps = torch.rand(2, 3, 5, 7)
    rows, columns = pooling_matrix(torch.tensor(5), 3), pooling_matrix(torch.tensor(7), 6)
    expected = F.adaptive_avg_pool2d(maps, (3, 6))
    torch.testing.assert_close(rows @ maps @ columns.T, expected)


def test_an_equal_size_changes_nothing():
    table = torch.rand(1, 2, 5, 6)
    assert resize_positions(table, (5, 6), offset=0.1) is table
    assert torch.equal(weights(5, 5), torch.eye(5))
