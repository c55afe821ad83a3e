import pytest
import torch
from safetensors.torch import save_file
from scenes.vgg import features, write

from mobanet_mmseg.weights.files import CheckpointError
from mobanet_mmseg.weights.vgg import read_vgg16


def test_tensors_are_named_by_their_stage_and_convolution(tmp_path):
    saved = write(features(batch_norm=True), tmp_path / 'vgg16_bn.pth')
    tensors = read_vgg16(str(tmp_path / 'vgg16_bn.pth'))
    assert len(tensors) == len(saved) == 13 * 7
    # torchvision: conv 0, norm 1, ReLU 2, conv 3, norm 4, ReLU 5, pooling 6, conv 7
    for name, place in (('3.weight', '0.1.conv.weight'), ('4.running_var', '0.1.bn.running_var')):
        assert torch.equal(tensors[place], saved[f'features.{name}'])
    assert torch.equal(tensors['1.0.conv.bias'], saved['features.7.bias'])
    assert torch.equal(tensors['4.2.bn.bias'], saved['features.41.bias'])


def test_a_file_without_batch_norms_gives_convolutions_alone(tmp_path):
    saved = write(features(batch_norm=False), tmp_path / 'vgg16.pth')
    tensors = read_vgg16(str(tmp_path / 'vgg16.pth'))
    assert len(tensors) == 26
    assert torch.equal(tensors['4.2.conv.weight'], saved['features.28.weight'])


def test_the_order_of_the_names_in_the_file_does_not_matter(tmp_path):
    saved = write(features(batch_norm=False), tmp_path / 'vgg16.pth')
    save_file(saved, tmp_path / 'vgg16.safetensors')  # 10 comes before 2 there
    given = read_vgg16(str(tmp_path / 'vgg16.safetensors'))
    assert torch.equal(given['1.0.conv.weight'], saved['features.5.weight'])


def test_another_networks_file_is_refused_in_a_sentence(tmp_path):
    torch.save({'features.0.weight': torch.rand(2, 3, 3, 3)}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'other\.pth holds 1 convolutions and 0 batch norms'):
        read_vgg16(str(tmp_path / 'other.pth'))


def test_a_missing_file_says_which_setting_names_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'none\.pth does not exist: set model\.backbone\.init_cfg\.checkp'
    ):
        read_vgg16(str(tmp_path / 'none.pth'))
