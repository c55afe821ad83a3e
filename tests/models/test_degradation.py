import numpy as np
import pytest
import torch
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor
from mobanet_mmseg.models.degradation import (
    Degradation,
    Degrader,
    blur,
    coarsen,
    install_degrader,
    mask_blocks,
    shift,
)

SEED = 7


def degrade(kind, level, image, fill=None, block=64, seed=SEED):
    fill = torch.zeros(len(image), 1, 1) if fill is None else fill
    return Degradation(kind, 'rgb', level)(image, fill, seed, block)


@pytest.mark.parametrize(
    ('kind', 'level'), [('mask', 0), ('noise', 0), ('blur', 0), ('shift', 0), ('resolution', 1)]
)
def test_least_level_changes_nothing(kind, level):
    image = torch.rand(5, 20, 30)
    torch.testing.assert_close(degrade(kind, level, image), image)


@pytest.mark.parametrize('kind', ['mask', 'noise', 'blur', 'shift', 'resolution'])
def test_input_stays_and_equal_seeds_draw_alike(kind):
    image = torch.rand(5, 20, 30)
    before = image.clone()
    level = {'mask': 0.5, 'shift': 3}.get(kind, 2)
    degraded = degrade(kind, level, image, block=4)
    assert torch.equal(image, before)
    assert not torch.equal(degraded, image)
    assert degraded.shape == image.shape
    assert torch.equal(degrade(kind, level, image, block=4), degraded)


@pytest.mark.parametrize('share', [0, 0.25, 0.5, 0.8, 1])
def test_masked_share_is_met_to_half_a_block_and_grows(share):
    less = torch.zeros(30, 50, dtype=torch.bool)
    for part in (share / 2, share):
        masked = mask_blocks((30, 50), part, SEED, block=4)
        assert abs(int(masked.sum()) - part * 1500) <= 16 / 2
        assert (masked | less).equal(masked)
        less = masked


def test_masked_blocks_are_whole_and_become_the_fill():
    image, fill = torch.rand(2, 6, 9), torch.tensor([3.0, 4.0]).view(2, 1, 1)
    degraded = degrade('mask', 0.5, image, fill, block=3)
    masked = degraded[0] == 3
    blocks = masked.view(2, 3, 3, 3)
    assert torch.equal(blocks.any(dim=3).any(dim=1), blocks.all(dim=3).all(dim=1))
    assert int(masked.sum()) == 27
    assert torch.equal(degraded[:, ~masked], image[:, ~masked])
    assert set(degraded[1, masked].tolist()) == {4}


def test_noise_is_of_each_channels_own_spread_and_scales():
    image = torch.stack([torch.rand(200, 300) * 255, torch.rand(200, 300)])
    noise = degrade('noise', 0.5, image) - image
    ratio = noise.std(dim=(1, 2)) / image.std(dim=(1, 2))
    torch.testing.assert_close(ratio, torch.full((2,), 0.5), atol=0.01, rtol=0)
    assert noise.mean(dim=(1, 2)).abs().max() < 1
    torch.testing.assert_close(degrade('noise', 1.0, image) - image, 2 * noise, atol=1e-4, rtol=0)


def test_blurred_step_is_the_normal_distribution():
    image = torch.zeros(6, 8, 80)  # more channels than OpenCV's colours
    image[:, :, 40:] = 1
    column = (torch.arange(80) - 39.5) / 3
    expected = torch.special.ndtr(column).expand(6, 8, 80)
    torch.testing.assert_close(blur(image, 3.0), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ('down', 'right', 'expected'),
    [
        (0, 1, [[1, 1, 2], [4, 4, 5]]),
        (0, -1, [[2, 3, 3], [5, 6, 6]]),
        (1, 0, [[1, 2, 3], [1, 2, 3]]),
        (-1, 0, [[4, 5, 6], [4, 5, 6]]),
        (0, 9, [[1, 1, 1], [4, 4, 4]]),
    ],
)
def test_shifted_image_repeats_its_edge(down, right, expected):
    image = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    assert shift(image, down, right).tolist() == [expected]


def test_images_are_shifted_in_all_four_directions():
    image = torch.arange(12.0).view(1, 3, 4)
    found = {tuple(degrade('shift', 1, image, seed=seed).ravel().tolist()) for seed in range(40)}
    assert len(found) == 4


def test_coarse_pixels_are_means():
    image = torch.tensor([[[0, 4, 10, 10, 0, 0], [0, 4, 10, 10, 8, 8]]], dtype=torch.float32)
    coarse = coarsen(image, 2)  # 1 x 3 pixels of 2, 10 and 4
    # centres at 0.5, 2.5 and 4.5: what lies between is interpolated
    torch.testing.assert_close(coarse[0, 0], torch.tensor([2.0, 4, 8, 8.5, 5.5, 4]))
    torch.testing.assert_close(coarse[0, 0], coarse[0, 1])
    torch.testing.assert_close(coarsen(image, 100), torch.full_like(image, float(image.mean())))


@pytest.mark.parametrize(
    ('given', 'sentence'),
    [
        (('fog', 'rgb', 1), "kind='fog'"),
        (('blur', 'dsm', 1), "modality='dsm'"),
        (('mask', 'rgb', 1.5), r'mask got the level 1.5; it is a number of 0 to 1'),
        (('resolution', 'aux', 0.5), r'resolution got the level 0.5; it is a number from 1 on'),
        (('noise', 'aux', float('nan')), 'noise got the level nan'),
        (('blur', 'aux', float('inf')), 'blur got the level inf'),
        (('shift', 'aux', 1.5), 'it is whole pixels'),
    ],
)
def test_what_is_no_degradation_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        Degradation(*given)


def preprocess(preprocessor, *names):
    images = [torch.arange(4 * 6 * 8.0).view(4, 6, 8) for _ in names]
    samples = [SegDataSample(metainfo={'img_path': name}) for name in names]
    return preprocessor({'inputs': images, 'data_samples': samples}, False)['inputs']


@pytest.mark.parametrize(
    ('modality', 'own', 'other'), [('rgb', slice(3), 3), ('aux', slice(3, 4), slice(3))]
)
def test_one_modality_is_degraded_before_it_is_normalised(modality, own, other):
    preprocessor = MultimodalDataPreProcessor(mean=[5.5, 6.5, 7.5, 8.5], std=[2, 2, 2, 4])
    clean = preprocess(preprocessor, 'a.tif', 'b.tif')
    degrader = Degrader((3, 1), block=2)

    class Model(torch.nn.Module):
        data_preprocessor = preprocessor

    install_degrader(Model(), degrader)
    assert torch.equal(preprocess(preprocessor, 'a.tif', 'b.tif'), clean)
    degrader.degradation = Degradation('mask', modality, 0.5)
    masked = preprocess(preprocessor, 'a.tif', 'b.tif')
    assert torch.equal(masked[:, other], clean[:, other])
    zeros = masked[:, own] == 0  # the mean
    assert zeros.float().mean() == 0.5
    assert torch.equal(masked[:, own][~zeros], clean[:, own][~zeros])
    assert not torch.equal(masked[0], masked[1])  # another name
    again = preprocess(preprocessor, 'folder/b.tif', 'a.tif')
    assert torch.equal(again, masked.flip(0))
    degrader.degradation = Degradation('mask', modality, 1)
    assert not preprocess(preprocessor, 'a.tif')[:, own].any()


def test_preprocessor_that_does_not_normalise_masks_with_zeros():
    preprocessor = SegDataPreProcessor()
    degrader = Degrader((3, 1))
    preprocessor.register_forward_pre_hook(degrader)
    degrader.degradation = Degradation('mask', 'rgb', 1)
    inputs = preprocess(preprocessor, 'a.tif')[0]
    assert not inputs[:3].any()
    assert np.array_equal(inputs[3].ravel().numpy(), np.arange(144, 192))
