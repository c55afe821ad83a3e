import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params

from mobanet_mmseg.models.masking import ModalityRandomMask

FILL = (1.0, 2.0, 3.0, 0.5)


def mask_of(**settings):
    return ModalityRandomMask(**{'modality_channels': (3, 1), 'fill': FILL, 'prob': 1, **settings})


def test_one_rectangle_of_one_modality_holds_the_means():
    image = np.random.default_rng(0).uniform(10, 20, (48, 60, 4)).astype(np.float32)
    before, masked_modalities = image.copy(), []
    for seed in range(100):
        np.random.seed(seed)
        masked = mask_of()({'img': image})['img']
        changed = (masked != image).any(axis=(0, 1))
        assert changed.tolist() in ([True] * 3 + [False], [False] * 3 + [True])
        channels = np.flatnonzero(changed)
        where = (masked != image)[..., channels]
        assert (where == where[..., :1]).all()  # one rectangle for all channels
        rows, cols = np.flatnonzero(where.any((1, 2))), np.flatnonzero(where.any((0, 2)))
        box = masked[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1, channels]
        assert (box == np.array(FILL, np.float32)[channels]).all()
        assert where[..., 0].sum() == len(rows) * len(cols)
        assert 0.1 - 0.02 <= len(rows) * len(cols) / (48 * 60) <= 0.3 + 0.02
        assert 0.5 * 0.9 <= len(rows) / len(cols) <= 2 * 1.1
        masked_modalities.append(changed[0])
    np.testing.assert_array_equal(image, before)
    assert 30 <= sum(masked_modalities) <= 70


def test_a_quarter_of_the_samples_is_masked():
    np.random.seed(0)
    image = np.full((12, 16, 4), 9, np.float32)
    transform = ModalityRandomMask((3, 1), FILL)
    share = np.mean([transform({'img': image})['img'] is not image for _ in range(2000)])
    assert abs(share - 0.25) < 0.03


def test_images_that_share_their_randomness_are_masked_alike():
    transform, image = mask_of(), np.full((12, 16, 4), 9, np.float32)
    with cache_random_params(transform):
        first, second = (transform({'img': image})['img'] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'fill': (1, 2)}, 'one per channel'),
        ({'modality_channels': (3,)}, 'one per channel'),
        ({'prob': 1.5}, 'give a probability'),
        ({'area_ratio': (0.3, 0.1)}, 'give .least, greatest.'),
        ({'aspect_ratio': (0, 1)}, 'give .least, greatest.'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        mask_of(**settings)


def test_an_image_of_other_channels_is_refused():
    with pytest.raises(ValueError, match='expects 4 channels, the image has 3'):
        mask_of()({'img': np.zeros((4, 5, 3), np.float32)})
