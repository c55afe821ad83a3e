import pytest
import torch

from mobanet_mmseg.weights.channels import with_channels

FILTERS = torch.tensor([[1.0, 2.0, 6.0], [0.0, 3.0, 0.0]])[..., None, None]


@pytest.mark.parametrize(
    ('channels', 'new_channels', 'expected'),
    [
        (1, 'mean', [[3], [1]]),
        (2, 'mean', [[3, 3], [1, 1]]),
        (3, 'mean', [[1, 2, 6], [0, 3, 0]]),
        (5, 'mean', [[1, 2, 6, 3, 3], [0, 3, 0, 1, 1]]),
        (4, 'zeros', [[1, 2, 6, 0], [0, 3, 0, 0]]),
        (1, 'zeros', [[0], [0]]),
    ],
)
def test_filters_of_colour_images_serve_other_numbers_of_channels(channels, new_channels, expected):
    fitted = with_channels(FILTERS, channels, new_channels)
    assert fitted[..., 0, 0].tolist() == expected
