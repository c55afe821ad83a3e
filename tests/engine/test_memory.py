import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from scenes.models import samples, tiny_model
from scenes.paths import ROOT
from scenes.toy import toy
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mobanet_mmseg.engine.memory import (
    Memory,
    estimate_prediction_memory,
    estimate_step_memory,
)

WEIGHTS = 4 * 500 * 600  # bytes
CONFIGS = [
    'unetformer/unetformer_potsdam.py',
    'ftransunet/ftransunet_potsdam.py',
    'manet/manet_lora_potsdam.py',
    'segnext/segnext_t_potsdam_rgb.py',
]


class Heavy(BaseModel):
    """Weights beside which the rest is nothing, some of them frozen; looks at values."""

    num_classes = 2

    def __init__(self, data_preprocessor):
        super().__init__()
        self.trained = nn.Parameter(torch.empty(500, 600))
        self.frozen = nn.Parameter(torch.empty(500, 600), requires_grad=False)

    def forward(self, inputs, data_samples, mode):
        labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples])
        assert labels[labels == 1].numel() == labels.numel()  # a mask is true everywhere
        assert (labels == 1).sum().item() == 1 and bool(inputs.max() > 0)
        return {'loss': self.trained.sum() * inputs.mean()}


def heavy(**wrapper):
    return Config(
        dict(
            model=dict(type=Heavy, data_preprocessor=dict(mean=[0.0])),
            crop_size=(2, 3),
            train_dataloader=dict(batch_size=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0, momentum=0.9), **wrapper),
        )
    )


def small():
    """A MoBaNet of two blocks, each a stage."""
    model = tiny_model()
    model.backbone.encoder.arch.num_layers = 2
    model.backbone.out_indices = (0, 1)
    model.neck.num_stages = 2
    model.decode_head.update(in_channels=[8, 8], in_index=[0, 1])
    for index, head in enumerate(model.auxiliary_head):
        head.in_index = 2 + index
    return Config(
        dict(
            model=model,
            crop_size=(60, 80),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        )
    )


@pytest.fixture(scope='module')
def estimates():
    """Of batches of 2, 3 and 4; random numbers stay as they are."""
    init_default_scope('mmseg')
    before = torch.get_rng_state()
    found = {size: estimate_step_memory(small(), size) for size in (2, 3, 4)}
    assert torch.equal(torch.get_rng_state(), before)
    return found


def test_tensors_that_share_memory_count_once_and_leave_when_they_die():
    memory = Memory()
    with FakeTensorMode(), memory:
        kept = torch.empty(3, 5)
        turned = kept.T
        torch.empty(1000)
        half = torch.empty(4, dtype=torch.float16)
        assert (memory.now, memory.peak) == (60 + 8, 60 + 4000)
        del kept
        assert memory.now == 60 + 8
        del turned, half
        assert memory.now == 0


@pytest.mark.parametrize(
    ('wrapper', 'tensors'), [('OptimWrapper', 4), ('LookaheadOptimWrapper', 5)]
)
def test_weights_gradient_and_state_are_counted(wrapper, tensors):
    peak = estimate_step_memory(heavy(type=wrapper, clip_grad=dict(max_norm=1.0)))
    assert tensors * WEIGHTS < peak < (tensors + 0.01) * WEIGHTS  # two weights, gradient, momentum


def test_a_step_costs_what_it_costs_with_values(estimates):
    model = MODELS.build(small().model).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    memory = Memory()
    memory.count([*model.parameters(), *model.buffers()])
    memory.count(list(optimizer.state.values()))
    with memory:
        images = torch.rand(4, 4, 70, 84)
        losses = model(images, samples(torch.randint(0, 3, (4, 70, 84))), mode='loss')
        model.parse_losses(losses)[0].backward()
        optimizer.step()
    assert memory.peak <= estimates[4] < 1.08 * memory.peak  # to which no pixel is an easy one


def test_a_prediction_costs_what_it_costs_with_values():
    config = small()
    model = MODELS.build(config.model).eval()
    memory = Memory()
    memory.count([*model.parameters(), *model.buffers()])
    with memory, torch.no_grad():
        model.encode_decode(torch.rand(1, 4, 70, 84), [{'img_shape': torch.Size((70, 84))}])
    # the network with values keeps the positions that it has resized
    assert estimate_prediction_memory(config) == pytest.approx(memory.peak, rel=0.01)
    config.crop_size = None
    assert estimate_prediction_memory(config) is None


def test_memory_grows_by_as_much_with_each_sample(estimates):
    assert estimates[3] > estimates[2]
    growth = estimates[4] - estimates[3], estimates[3] - estimates[2]
    assert growth[0] == pytest.approx(growth[1], rel=0.02)


def test_mixed_precision_needs_less_and_what_trains_less_too(estimates):
    config = small()
    config.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale='dynamic')
    assert estimate_step_memory(config, 4) < 0.9 * estimates[4]
    config = small()
    config.model.backbone.cpia = None
    assert estimate_step_memory(config, 4) < estimates[4]


def test_gradients_that_wait_for_further_samples_are_counted():
    once, twice = (estimate_step_memory(heavy(accumulative_counts=count)) for count in (1, 2))
    assert once < twice <= once + 1.01 * WEIGHTS


def test_what_is_not_known_is_not_told():
    config = heavy()
    config.crop_size = None
    assert estimate_step_memory(config) is None
    config = heavy()
    config.model.data_preprocessor = None
    assert estimate_step_memory(config) is None
    config = heavy()
    config.model.type = nn.Identity  # is no segmentor
    assert estimate_step_memory(config) is None


@pytest.mark.parametrize('name', CONFIGS)
def test_networks_are_estimated(name):
    config = Config.fromfile(ROOT / 'configs' / name)
    config.model = toy(config)
    assert estimate_step_memory(config, 2) > 0
