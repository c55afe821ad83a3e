"""Two processes with half of a batch each learn what one learns from the whole."""

import pytest
import torch
from mmengine.dist import get_dist_info
from mmengine.model import MMDistributedDataParallel
from mmseg.registry import MODELS
from scenes.gloo import in_processes
from scenes.models import samples, tiny_model

from mobanet_mmseg.models.tiled import segmentor_of


def network(loss=None, **settings):
    """A MoBaNet that draws nothing but MCRM's masks, its heads with a loss and settings."""
    config = tiny_model()
    config.backbone.cpia.dropout = 0.0
    config.decode_head.dropout_ratio = 0.0
    for head in (config.decode_head, *config.auxiliary_head):
        head.update(settings)
        if loss is not None:
            head.loss_decode = dict(loss)
    return config


SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)
NETWORKS = {
    'classes': network(),
    'one channel': network(SIGMOID, num_classes=2, out_channels=1, threshold=0.5),
    'a channel a class': network(SIGMOID),
    'weighted classes': network(
        dict(type='ClassWeightedCrossEntropyLoss', class_weight=[1.0, 5.0, 2.0])
    ),
}


def batches(config):
    """Two batches of four images; few labels count in the second and fourth, and then none."""
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(2, 4, 4, 30, 44, generator=generator)
    labels = torch.randint(0, 2, (2, 4, 30, 44), generator=generator)
    labels[0, 1::2, 4:] = 255
    labels[1, 1::2] = 255
    if config.decode_head.get('out_channels') == 1:  # MMSeg's loss stops where no label counts
        images, labels = images[:1], labels[:1]
    return zip(images, labels, strict=True)


def learned(config, wrap):
    """What is logged of each batch, and the gradients, of the samples that this process has."""
    torch.manual_seed(0)
    model = wrap(MODELS.build(config).train())
    segmentor, (rank, world_size) = segmentor_of(model), get_dist_info()
    found = []
    for images, labels in batches(config):
        torch.manual_seed(1 + rank)
        own = slice(rank, None, world_size)
        data = dict(inputs=list(images[own]), data_samples=samples(labels[own]))
        data = segmentor.data_preprocessor(data, training=True)
        model.zero_grad()
        loss, logged = segmentor.parse_losses(model(**data, mode='loss'))
        loss.backward()
        gradients = {
            name: value.grad.clone()
            for name, value in segmentor.named_parameters()
            if value.requires_grad
        }
        logged = {name: value.detach() for name, value in logged.items() if 'loss' in name}
        found.append((logged, gradients))
    return found


@pytest.fixture(scope='module')
def of_two():
    """What each of two processes learns, by the names of the networks."""
    return in_processes(
        lambda: {
            name: learned(config, MMDistributedDataParallel) for name, config in NETWORKS.items()
        }
    )


@pytest.mark.parametrize('name', NETWORKS)
def test_losses_and_gradients_of_two_processes_are_those_of_one(name, of_two):
    of_one = learned(NETWORKS[name], lambda model: model)
    for (losses, gradients), *both in zip(of_one, *(each[name] for each in of_two), strict=True):
        assert set(losses) == {'loss', 'decode.loss_ce', 'rgb.loss_ce', 'aux.loss_ce'}
        assert all(value > 0 for value in losses.values())
        for logged, averaged in both:
            torch.testing.assert_close(logged, losses, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(averaged, gradients, rtol=1e-4, atol=1e-6)
