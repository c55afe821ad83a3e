from copy import deepcopy

import pytest
import torch
from scenes.encoders import TAPS, random_encoder, run, tiny_dinov3, tiny_sam
from scenes.models import tiny_vit
from torch import nn

from mobanet_mmseg.models.multimodal_vit import MultimodalViT
from mobanet_mmseg.models.once_a_grid import MOST, once_a_grid


class Doubled:
    """Doubles a table and counts how often it is asked to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, table: torch.Tensor) -> torch.Tensor:
        self.times += 1
        return 2 * table


def frozen(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values), requires_grad=False)


def test_a_table_is_computed_once_a_grid():
    table, double = frozen(1.0, 2.0), Doubled()
    for grid in ((2, 3), (3, 2), (2, 3), (3, 2)):
        assert once_a_grid(table, grid, double).tolist() == [2, 4]
    assert double.times == 2
    for grid in range(MOST):  # pushes out both
        once_a_grid(table, grid, double)
    once_a_grid(table, (2, 3), double)
    assert double.times == 2 + MOST + 1


def write(table: nn.Parameter) -> None:
    with torch.no_grad():
        table.fill_(5.0)


def replace(table: nn.Parameter) -> None:
    table.data = torch.tensor([5.0, 5.0])


def load(table: nn.Parameter) -> None:
    holder = nn.Module()
    holder.table = table
    holder.load_state_dict({'table': torch.tensor([5.0, 5.0])})


@pytest.mark.parametrize('change', [write, replace, load])
def test_a_table_of_other_values_is_computed_anew(change):
    table, double = frozen(1.0, 2.0), Doubled()
    once_a_grid(table, (2, 3), double)
    change(table)
    assert once_a_grid(table, (2, 3), double).tolist() == [10, 10]


def test_a_module_that_was_cast_gets_results_of_its_type():
    holder = nn.Module()
    holder.table = frozen(1.0, 2.0)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        holder.to(dtype)
        assert once_a_grid(holder.table, (2, 3), Doubled()).dtype == dtype
    assert once_a_grid(holder.to('meta').table, (2, 3), Doubled()).is_meta


def test_a_table_that_trains_gets_its_gradient_each_time():
    table = nn.Parameter(torch.tensor([1.0, 2.0]))
    for _ in range(2):
        once_a_grid(table, (2, 3), Doubled()).sum().backward()
    assert table.grad.tolist() == [4, 4]


def test_a_copy_keeps_to_itself():
    encoder = random_encoder(tiny_vit()).requires_grad_(False)
    image = torch.rand(1, 3, 28, 42)
    before = run(encoder, image)
    copy = deepcopy(encoder)
    with torch.no_grad():
        copy.vit.pos_embed.zero_()
    assert not torch.equal(run(copy, image)[0], before[0])
    torch.testing.assert_close(run(encoder, image), before)


@pytest.mark.parametrize('config', [tiny_vit, tiny_sam, tiny_dinov3])
def test_an_encoder_that_loads_other_weights_runs_with_their_positions(config):
    first, second = (random_encoder(config()).requires_grad_(False) for _ in range(2))
    image = torch.rand(1, 3, 112, 224)
    run(first, image)
    first.load_state_dict(second.state_dict())
    assert all(map(torch.equal, run(first, image), run(second, image)))


@pytest.mark.parametrize('config', [tiny_vit, tiny_sam, tiny_dinov3])
def test_a_training_may_follow_inference_mode(config):
    model = MultimodalViT(
        config(), out_indices=TAPS, cpia=dict(prompt_dims=4), allow_random_encoder=True
    )
    inputs = torch.rand(1, 4, 112, 224)
    with torch.inference_mode():
        model(inputs)
    sum(m.square().sum() for maps in model(inputs) for m in maps).backward()
    assert model.aux_embed.projection.weight.grad.abs().sum() > 0


def test_what_is_kept_is_in_no_state_dict():
    encoder = random_encoder(tiny_sam()).requires_grad_(False)
    names = list(encoder.state_dict())
    run(encoder, torch.rand(1, 3, 48, 96))
    assert list(encoder.state_dict()) == names
