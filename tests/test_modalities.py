import numpy as np
import pytest

from mobanet_mmseg.modalities import (
    AuxRange,
    Scaling,
    StackSpec,
    read_fill,
    scale_aux,
    stack_modalities,
)


def test_heights_are_scaled_by_their_range_and_holes_become_zero():
    heights = np.array([[[30.0], [45.0], [60.0]], [[np.nan], [np.inf], [33.0]]], np.float32)
    scaled = scale_aux(heights, 30, 60)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[..., 0], [[0, 0.5, 1], [0, 0, 0.1]], atol=1e-6)


def test_holes_become_what_is_asked_for_of_each_band():
    heights = np.array([[[30, np.nan]], [[np.inf, 60]]], np.float32)
    np.testing.assert_allclose(scale_aux(heights, 30, 60, fill=0.4), [[[0, 0.4]], [[0.4, 1]]])
    scaled = scale_aux(heights, 30, 60, fill=(0.25, -2))
    np.testing.assert_array_equal(scaled, [[[0, -2]], [[0.25, 1]]])
    assert scaled.dtype == np.float32
    stacked = stack_modalities(np.full((2, 1, 1), np.nan), heights, (0.25, -2))
    np.testing.assert_array_equal(stacked, [[[0, 30, -2]], [[0, 0.25, 60]]])


def test_what_stands_for_no_data_is_a_number_or_one_per_channel():
    assert read_fill(0.3, 2) == 0.3
    assert read_fill([0.3, 1], 2) == (0.3, 1.0)
    assert read_fill((0.3, 1), 0) == 0.0  # there is nothing to fill
    for fill in (np.nan, 'mean', None, (0.1, 0.2, 0.3), (0.1, np.inf)):
        with pytest.raises(ValueError, match='for 2 auxiliary channels: give a finite number, or'):
            read_fill(fill, 2)


def test_each_band_has_its_own_range_and_values_outside_are_not_clipped():
    aux = np.array([[[0, 100], [20, 400]]], np.int16)
    np.testing.assert_allclose(scale_aux(aux, (0, 200), (10, 300)), [[[0, -1], [2, 2]]])


def test_bytes_do_not_wrap_below_the_range():
    np.testing.assert_allclose(scale_aux(np.array([[[10]]], np.uint8), 20, 40), [[[-0.5]]])


def test_large_integers_keep_their_differences():
    aux = np.array([[[2**30], [2**30 + 1]]], np.int32)
    np.testing.assert_array_equal(scale_aux(aux, 2**30, 2**30 + 2)[0, :, 0], [0, 0.5])


@pytest.mark.parametrize(
    ('limits', 'said'), [((5, 5), 'empty'), ((6, 5), 'empty'), (((1, 2), 3), 'another number')]
)
def test_a_range_that_does_not_fit_is_refused(limits, said):
    with pytest.raises(ValueError, match=said):
        scale_aux(np.zeros((2, 3, 1), np.float32), *limits)


def test_the_stack_holds_optical_then_auxiliary_channels_and_no_holes():
    img = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    aux = np.array([[0, 0.5, 1], [0.25, np.nan, -np.inf]], np.float32)[..., None]
    stacked = stack_modalities(img, aux)
    assert stacked.shape == (2, 3, 4) and stacked.dtype == np.float32
    assert stacked.flags.c_contiguous
    np.testing.assert_array_equal(stacked[1, 2], [15, 16, 17, 0])
    np.testing.assert_array_equal(stacked[..., 3], [[0, 0.5, 1], [0.25, 0, 0]])


def test_images_of_two_sizes_are_not_stacked():
    with pytest.raises(ValueError, match='2 x 3 pixels and the auxiliary one 3 x 2'):
        stack_modalities(np.zeros((2, 3, 3)), np.zeros((3, 2, 1)))


def test_a_range_is_what_the_config_says():
    assert AuxRange.parse('tile') == AuxRange('tile')
    assert AuxRange.parse(None) == AuxRange('none')
    assert AuxRange.parse(['percentile', 1, 99]) == AuxRange('percentile', percentages=(1, 99))
    assert AuxRange.parse((0, 30)) == AuxRange('fixed', scaling=Scaling(0, 30, False))
    per_band = AuxRange.parse(([0, -25], [30, 0], True)).scaling
    assert per_band == Scaling((0.0, -25.0), (30.0, 0.0), True)
    assert AuxRange.parse(AuxRange('tile')) == AuxRange('tile')


@pytest.mark.parametrize(
    'value',
    [
        'tiles',
        (3, 3),
        (5, 1),
        ('a', 'b'),
        (1, 2, 3),
        ('percentile', 50),
        ('percentile', 99, 1),
        7,
        (0, float('inf')),
        (float('nan'), 1),
        ([0, float('-inf')], 5),
        ([0, 1], [2, 3, 4]),
        (0j, 1),
        (None, 1),
        ('percentile', '1', '99'),
        ('percentile', float('nan'), 99),
    ],
)
def test_what_is_no_range_is_refused(value):
    with pytest.raises(ValueError, match='aux_range='):
        AuxRange.parse(value)


def test_a_stack_counts_its_channels():
    spec = StackSpec(img_bands=(4, 1, 2), aux_bands=(1, 3))
    assert (spec.modality_channels, spec.num_channels) == ((3, 2), 5)
    assert StackSpec(aux_bands=()).num_channels == 3
