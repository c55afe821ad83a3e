import math

import pytest
import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from scenes.models import samples

from mobanet_mmseg.models.losses import (
    ClassWeightedCrossEntropyLoss,
    LabelSmoothingCrossEntropyLoss,
    SoftDiceLoss,
)

# one image of 1 x 3 pixels, two classes; the last pixel is ignored
PROBABILITIES = [[0.5, 0.75, 0.25], [0.5, 0.25, 0.75]]
TARGET = torch.tensor([[[0, 0, 255]]])


def logits():
    return torch.tensor(PROBABILITIES).log().reshape(1, 2, 1, 3)


def test_smoothed_cross_entropy_counts_an_ignored_pixel_as_zero():
    loss = LabelSmoothingCrossEntropyLoss(smoothing=0.1)(logits(), TARGET)
    first = math.log(2)  # both classes have the same probability
    second = 0.95 * math.log(4 / 3) + 0.05 * math.log(4)
    assert loss.item() == pytest.approx((first + second) / 3)


def test_without_smoothing_it_is_mmsegs_cross_entropy():
    pred, target = torch.randn(2, 5, 4, 6), torch.randint(0, 5, (2, 4, 6))
    target[0, 1:, :2] = 255
    ours = LabelSmoothingCrossEntropyLoss(smoothing=0.0, loss_weight=0.4)(pred, target)
    theirs = CrossEntropyLoss(loss_weight=0.4)(pred, target, ignore_index=255)
    torch.testing.assert_close(ours, theirs)


def test_dice_sums_each_class_over_the_batch():
    loss = SoftDiceLoss()(logits(), TARGET)
    score = (2 * (0.5 + 0.75) + 0.05) / (0.5 + 0.75 + 2 + 0.05)
    assert loss.item() == pytest.approx((1 - score) / 2)  # class 1 is absent: 0 of two


def test_dice_of_two_images_is_not_the_mean_of_their_dice():
    pred = logits().expand(2, 2, 1, 3)
    target = torch.tensor([[[0, 0, 255]], [[1, 255, 255]]])
    first = (2 * (0.5 + 0.75) + 0.05) / (0.5 + 0.75 + 0.5 + 2 + 0.05)
    second = (2 * 0.5 + 0.05) / (0.5 + 0.25 + 0.5 + 1 + 0.05)
    loss = SoftDiceLoss(loss_weight=3.0)(pred, target)
    assert loss.item() == pytest.approx(3 * ((1 - first) + (1 - second)) / 2)


def test_a_weight_of_zero_is_an_ignored_pixel():
    target, weight = torch.tensor([[[0, 0, 1]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    for loss in (LabelSmoothingCrossEntropyLoss(), SoftDiceLoss()):
        torch.testing.assert_close(loss(logits(), target, weight), loss(logits(), TARGET))


def test_classes_weigh_in_the_mean_and_ignored_pixels_do_not():
    target = torch.tensor([[[0, 1, 255]]])
    loss = ClassWeightedCrossEntropyLoss([1.0, 3.0], loss_weight=2.0)(logits(), target)
    assert loss.item() == pytest.approx(2 * (math.log(2) + 3 * math.log(4)) / 4)
    loss = ClassWeightedCrossEntropyLoss([1.0, 0.0])(logits(), target)
    assert loss.item() == pytest.approx(math.log(2))
    ignored = torch.full_like(target, 255)
    assert ClassWeightedCrossEntropyLoss([1.0, 3.0])(logits(), ignored) == 0


@pytest.mark.parametrize('name', ['LabelSmoothingCrossEntropyLoss', 'SoftDiceLoss'])
def test_nothing_but_ignored_pixels_is_no_loss_and_has_a_gradient(name):
    pred = torch.randn(1, 3, 2, 4, requires_grad=True)
    loss = MODELS.build(dict(type=name))(pred, torch.full((1, 2, 4), 255))
    loss.backward()
    assert loss.item() == 0 and torch.equal(pred.grad, torch.zeros_like(pred))


def test_a_head_adds_both_up():
    head = MODELS.build(
        dict(
            type='FCNHead',
            in_channels=4,
            channels=4,
            num_convs=0,
            concat_input=False,
            num_classes=4,
            loss_decode=[
                dict(type='LabelSmoothingCrossEntropyLoss'),
                dict(type='SoftDiceLoss', loss_weight=0.5),
            ],
        )
    )
    losses = head.loss([torch.randn(2, 4, 3, 5)], samples(torch.randint(0, 4, (2, 6, 10))), {})
    assert set(losses) == {'loss_ce', 'loss_dice', 'acc_seg'}


def test_smoothing_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r'smoothing=5: give 0 \(none\) to 1'):
        LabelSmoothingCrossEntropyLoss(smoothing=5)
