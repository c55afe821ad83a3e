import math

import pytest
import torch
from mmseg.registry import MODELS
from scenes.models import samples, tiny_model


def one_hot(prediction, num_classes=3, margin=20.0):
    """(B, K, H, W) logits whose argmax is the prediction."""
    return margin * torch.nn.functional.one_hot(prediction, num_classes).movedim(-1, 1).float()


def test_hard_pixels_are_the_valid_ones_that_the_fused_prediction_gets_wrong():
    model = MODELS.build(tiny_model())
    labels = torch.tensor([[[0, 1, 2], [255, 1, 0]]])
    predicted = torch.tensor([[[0, 2, 2], [1, 1, 1]]])
    given = samples(labels)
    hard = model.hard_pixels(one_hot(predicted), given)
    assert hard[0].gt_sem_seg.data.tolist() == [[[255, 1, 255], [255, 255, 0]]]
    assert given[0].gt_sem_seg.data.tolist() == labels.tolist()  # the main loss keeps its labels


def test_hard_pixels_of_one_channel_are_those_that_its_threshold_gets_wrong():
    config = tiny_model()
    config.decode_head.update(num_classes=2, out_channels=1, threshold=0.3)
    model = MODELS.build(config)
    labels = torch.tensor([[[0, 1, 1], [255, 1, 0]]])
    shares = torch.tensor([[[[0.2, 0.4, 0.2], [0.9, 0.31, 0.31]]]])
    (hard,) = model.hard_pixels(shares.logit(), samples(labels))
    assert hard.gt_sem_seg.data.tolist() == [[[255, 255, 1], [255, 255, 0]]]


def test_the_log_gives_no_accuracy_of_one_channel_which_mmseg_measures_by_argmax():
    config, bce = tiny_model(), dict(type='CrossEntropyLoss', use_sigmoid=True)
    for head in (config.decode_head, *config.auxiliary_head):
        head.update(num_classes=2, out_channels=1, threshold=0.5, loss_decode=bce)
    model = MODELS.build(config)
    losses = model.loss(torch.rand(2, 4, 28, 42), samples(torch.randint(0, 2, (2, 28, 42))))
    assert set(losses) == {'decode.loss_ce', 'rgb.loss_ce', 'aux.loss_ce'}


class Fixed(torch.nn.Module):
    """Stands for a part of the model that gives the same output whatever comes in."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, inputs):
        return self.output


def losses_for(prediction, labels, aux_logits):
    """Losses of a MoBaNet whose fused and unimodal logits are given."""
    model = MODELS.build(tiny_model())
    model.backbone, model.neck = Fixed(None), Fixed(None)
    model.decode_head.forward = lambda features: one_hot(prediction)
    for head in model.auxiliary_head:
        head.forward = lambda features: aux_logits
    return model.loss(torch.rand(1, 4, 28, 42), samples(labels))


def test_auxiliary_loss_is_the_mean_over_hard_pixels_times_lambda():
    labels = torch.tensor([[[0, 1, 2], [255, 1, 0]]])
    predicted = torch.tensor([[[0, 2, 2], [1, 1, 1]]])  # two hard pixels, of classes 1 and 0
    aux_logits = torch.zeros(1, 3, 2, 3)
    aux_logits[0, 1] = math.log(2)  # softmax 1/4, 1/2, 1/4 everywhere
    losses = losses_for(predicted, labels, aux_logits)
    by_hand = 0.01 * (math.log(2) + math.log(4)) / 2
    assert losses['rgb.loss_ce'].item() == pytest.approx(by_hand, rel=1e-5)
    assert losses['aux.loss_ce'].item() == pytest.approx(by_hand, rel=1e-5)


def test_auxiliary_loss_is_zero_and_differentiable_where_all_is_right():
    labels = torch.tensor([[[0, 1, 2], [255, 1, 0]]])
    right = labels.where(labels != 255, 0)
    aux_logits = torch.rand(1, 3, 2, 3, requires_grad=True)
    losses = losses_for(right, labels, aux_logits)
    assert losses['rgb.loss_ce'].item() == 0
    losses['rgb.loss_ce'].backward()
    assert aux_logits.grad.abs().sum() == 0


def test_every_trainable_parameter_gets_a_gradient():
    model = MODELS.build(tiny_model()).train()
    data = dict(
        inputs=[torch.rand(4, 30, 44) * 255 for _ in range(4)],
        data_samples=samples(torch.randint(0, 3, (4, 30, 44))),
    )
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_the_log_names_two_heads_by_their_streams_and_others_as_mmseg_does():
    config = tiny_model()
    data = torch.rand(2, 4, 28, 42), samples(torch.randint(0, 3, (2, 28, 42)))
    heads = config['auxiliary_head']
    names = {}
    for number in (1, 2, 3):
        model = MODELS.build({**config, 'auxiliary_head': (heads * 2)[:number]})
        names[number] = {name.split('.')[0] for name in model.loss(*data)} - {'decode'}
    assert names == {1: {'aux_0'}, 2: {'rgb', 'aux'}, 3: {'aux_0', 'aux_1', 'aux_2'}}


def test_auxiliary_heads_do_not_run_in_a_prediction():
    model = MODELS.build(tiny_model()).eval()
    for head in model.auxiliary_head:
        head.forward = None
    with torch.inference_mode():
        assert model.encode_decode(torch.rand(1, 4, 28, 42), [{}]).shape == (1, 3, 28, 42)
