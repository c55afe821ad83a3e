import math

import pytest
import torch

from mobanet_mmseg.tiling.sliding_window import Rows, blend_weights, slide
from mobanet_mmseg.tiling.windows import Tiling, plan_strips, share_strips


def run(network, image, tiling, valid=None, strips=None):
    """Mean logits (B, K, H, W) of an image (B, C, H, W), and its rows in the order they came."""
    size = image.shape[-2:]
    strips = plan_strips(*size, tiling) if strips is None else strips
    rows = (
        Rows(image[..., read.rows, read.cols], None if valid is None else valid[read.rows])
        for read in (strip.read for strip in strips)
    )
    channels = network(image[..., :1, :1]).shape[1]
    done = list(copied(slide(network, channels, rows, strips, size, tiling)))
    return torch.cat([piece.logits for piece in done], dim=-2), done


def copied(pieces):
    for piece in pieces:
        yield piece._replace(logits=piece.logits.clone())


def numbered(windows):
    """A network whose logits are the number of the call's window, from 1: its order is seen."""
    count = 0

    def network(crops):
        nonlocal count
        numbers = torch.arange(count + 1, count + 1 + len(crops)).float()
        count += len(crops)
        windows.extend(numbers.tolist())
        return numbers.view(-1, 1, 1, 1).expand(len(crops), 1, *crops.shape[-2:])

    return network


def test_overlapping_windows_are_averaged_by_hand():
    """Windows of 2 columns at 0, 1 and 2 of 4: numbers 1, 2, 3."""
    tiling = Tiling((1, 2), (1, 1))
    image = torch.zeros(1, 1, 1, 4)
    rows = [Rows(image)]
    (piece,) = slide(numbered([]), 1, rows, plan_strips(1, 4, tiling), (1, 4), tiling)
    assert piece.logits[0, 0, 0].tolist() == [1, 1.5, 2.5, 3]


@pytest.mark.parametrize(
    ('blend', 'weights'),
    [
        ('cosine', [math.sin(math.pi / 8) ** 2, math.sin(3 * math.pi / 8) ** 2]),
        ('gaussian', [math.exp(-0.5 * 3**2), math.exp(-0.5 * 1**2)]),
    ],
)
def test_blending_weighs_a_window_towards_its_middle_by_hand(blend, weights):
    """Windows of 4 columns at 0 and 2 of 6; a and b are the weights of columns 0 and 1."""
    a, b = weights
    assert blend_weights(4, blend).tolist() == pytest.approx([a, b, b, a])
    tiling = Tiling((1, 4), (1, 2), blend=blend)
    rows = [Rows(torch.zeros(1, 1, 1, 6))]
    (piece,) = slide(numbered([]), 1, rows, plan_strips(1, 6, tiling), (1, 6), tiling)
    middle = [(1 * b + 2 * a) / (a + b), (1 * a + 2 * b) / (a + b)]
    assert piece.logits[0, 0, 0].tolist() == pytest.approx([1, 1, *middle, 2, 2])


@pytest.mark.parametrize('blend', [None, 'gaussian', 'cosine'])
@pytest.mark.parametrize('size', [(1, 1), (1, 300), (300, 1), (50, 70), (257, 261)])
@pytest.mark.parametrize('batch_size', [1, 3, 64])
def test_a_network_of_single_pixels_gives_its_own_result(size, blend, batch_size):
    image = torch.randn(2, 3, *size)
    tiling = Tiling((64, 48), (17, 31), batch_size, blend)
    logits, _ = run(lambda crops: 2 * crops, image, tiling)
    torch.testing.assert_close(logits, 2 * image, rtol=1e-5, atol=1e-5)


def blurred(crops):
    """A network that sees the border of its window."""
    return torch.nn.functional.avg_pool2d(crops, 5, stride=1, padding=2)


@pytest.mark.parametrize('blend', [None, 'gaussian'])
@pytest.mark.parametrize('batch_size', [1, 5, 40])
@pytest.mark.parametrize('world_size', [2, 3, 5])
def test_shares_equal_the_whole_bit_by_bit(world_size, batch_size, blend):
    image = torch.randn(1, 2, 151, 67)
    tiling = Tiling((32, 32), (9, 20), batch_size, blend)
    strips = plan_strips(151, 67, tiling)
    whole, _ = run(blurred, image, tiling)
    shares = [share_strips(strips, rank, world_size) for rank in range(world_size)]
    parts = [run(blurred, image, tiling, strips=share)[0] for share in shares if share]
    assert torch.equal(torch.cat(parts, dim=-2), whole)


def test_batch_sizes_agree_to_rounding():
    image = torch.randn(1, 2, 90, 67)
    results = [run(blurred, image, Tiling((32, 32), (9, 20), n))[0] for n in (1, 4, 100)]
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(results[0], results[2], rtol=1e-5, atol=1e-6)


def test_a_window_without_a_valid_pixel_is_not_run_and_changes_no_other():
    image = torch.randn(1, 2, 60, 64)
    valid = torch.ones(60, 64, dtype=torch.bool)
    valid[:33, :40] = False
    sizes = []

    def network(crops):
        sizes.append(len(crops))
        return blurred(crops)

    tiling = Tiling((16, 16), (8, 8))
    logits, done = run(network, image, tiling, valid)
    assert sum(sizes) - 1 < len([b for s in plan_strips(60, 64, tiling) for b in s.windows])
    whole, _ = run(blurred, image, tiling)
    assert torch.equal(logits[..., valid], whole[..., valid])
    assert torch.equal(torch.cat([piece.valid for piece in done]), valid)


def test_an_image_without_a_valid_pixel_runs_nothing():
    def network(crops):
        assert crops.shape[-1] == 1, 'a window was run'
        return crops

    valid = torch.zeros(20, 30, dtype=torch.bool)
    logits, _ = run(network, torch.randn(1, 2, 20, 30), Tiling((8, 8), (4, 4)), valid)
    assert logits.shape == (1, 2, 20, 30)
    assert logits.isfinite().all()


def test_sums_are_float32_whatever_the_network_gives():
    image = torch.full((1, 1, 8, 200), 0.1)
    logits, _ = run(lambda crops: crops.bfloat16(), image, Tiling((8, 100), (1, 1)))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, image.bfloat16().float())


def test_batches_of_a_strip_are_of_even_size():
    sizes = []

    def network(crops):
        sizes.append(len(crops))
        return crops

    tiling = Tiling((4, 4), (4, 4), batch_size=4)
    run(network, torch.zeros(1, 1, 4, 36), tiling)
    assert sizes[1:] == [3, 3, 3]  # 9 windows; 4 + 4 + 1 would leave one alone


def test_wide_images_come_in_pieces_of_bounded_size(monkeypatch):
    monkeypatch.setattr('mobanet_mmseg.tiling.sliding_window.CHUNK_BYTES', 4 * 50 * 3)
    _, done = run(lambda crops: crops, torch.randn(1, 1, 20, 50), Tiling((8, 8), (8, 8)))
    assert [piece.window.row for piece in done] == [0, 3, 6, 8, 11, 12, 15, 18]
    assert max(piece.logits.shape[-2] for piece in done) == 3


WIDE = 19, 700  # three column blocks of at most 256 columns


@pytest.mark.parametrize('batch_size', [1, 3, 200])
@pytest.mark.parametrize('blend', [None, 'gaussian'])
@pytest.mark.parametrize('stride', [(4, 5), (8, 12), (3, 7)])
def test_column_blocks_sum_the_same_windows_in_the_same_order(stride, blend, batch_size):
    tiling = Tiling((8, 12), stride, batch_size, blend)
    image = torch.randn(1, 2, *WIDE)
    ramp = torch.arange(8.0)[:, None] * torch.arange(12.0)

    def network(windows):  # each pixel's logits depend on where it lies in its window
        return torch.cat([windows.sin() * ramp, windows[:, :1] - ramp], dim=1)

    def predicted(strips):
        whole = torch.full((1, 3, *WIDE), torch.nan)
        rows = (Rows(image[..., strip.read.rows, strip.read.cols]) for strip in strips)
        for window, logits, _ in slide(network, 3, rows, strips, WIDE, tiling):
            assert whole[..., window.rows, window.cols].isnan().all()  # each pixel once
            whole[..., window.rows, window.cols] = logits
        return whole

    blocks = plan_strips(*WIDE, tiling, max_width=256)
    assert {strip.done[1::2] for strip in blocks} == {(0, 256), (256, 256), (512, 188)}
    assert predicted(blocks).equal(predicted(plan_strips(*WIDE, tiling)))
