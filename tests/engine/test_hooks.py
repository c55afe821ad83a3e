import logging

from mmseg.registry import HOOKS, MODELS
from scenes.models import tiny_model

from mobanet_mmseg.engine.parameters import count_parameters


class FakeRunner:
    def __init__(self, model):
        self.model = model
        self.logger = logging.getLogger('fake')


def test_trainable_and_frozen_parameters_are_logged_before_training(caplog):
    model = MODELS.build(tiny_model())
    with caplog.at_level(logging.INFO):
        HOOKS.build(dict(type='TrainableParametersHook')).before_train(FakeRunner(model))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert f'Trainable parameters: {trainable:,} (' in caplog.text
    assert 'backbone.cpia' in caplog.text


def test_parts_add_up_to_the_model():
    model = MODELS.build(tiny_model())
    parts = count_parameters(model)
    assert sum(part.total for part in parts.values()) == sum(p.numel() for p in model.parameters())
    assert parts['backbone.encoder'].trainable == 0
    assert parts['backbone.aux_embed'].frozen == 0
    # aux embedding of 3 x 14 x 14 -> 16 with a bias
    assert parts['backbone.aux_embed'].trainable == 3 * 14 * 14 * 16 + 16
