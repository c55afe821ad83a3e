import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from scenes.encoders import metas_names, random_encoder, tiny_sam
from scenes.models import tiny_vit
from torch import nn

from mobanet_mmseg.weights.files import Architecture, place, read_encoder, read_state_dict


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Address of a folder, and the folder; what is fetched goes into another one."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    (tmp_path / 'site').mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'site'))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', tmp_path / 'site'
    server.shutdown()
    thread.join()
    server.server_close()


class RunsCode:
    def __reduce__(self):
        return print, ('this must never be printed',)


def test_names_lose_their_prefix_and_others_are_left_out(tmp_path):
    state = {'backbone.weight': torch.ones(2), 'head.weight': torch.zeros(2)}
    torch.save({'state_dict': state}, tmp_path / 'weights.pth')
    assert list(read_state_dict(str(tmp_path / 'weights.pth'), 'backbone.')) == ['weight']


def test_missing_file_says_where_to_put_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth is not there.*init_cfg\.checkpoint'):
        read_state_dict(str(tmp_path / 'none.pth'))


def test_address_without_network_says_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/vit.pth'  # the discard port: nothing listens
    with pytest.raises(FileNotFoundError, match=r'hub/checkpoints/vit\.pth.*cfg-options'):
        read_state_dict(address)


def test_file_that_would_run_code_is_refused_and_does_not(tmp_path, capsys):
    torch.save({'state_dict': RunsCode()}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=r'evil\.pth is no weight file'):
        read_state_dict(str(tmp_path / 'evil.pth'))
    assert 'never' not in capsys.readouterr().out


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / 'page.pth').write_text('<html>not found</html>')
    with pytest.raises(ValueError, match=r'page\.pth is no weight file'):
        read_state_dict(str(tmp_path / 'page.pth'))


def test_prefix_that_no_name_has_is_refused(tmp_path):
    torch.save({'blocks.0.weight': torch.ones(2)}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r"no tensor whose name begins with 'backbone\.'.*blocks"):
        read_state_dict(str(tmp_path / 'weights.pth'), 'backbone.')


def test_every_misfit_is_listed():
    tensors = {'weight': torch.ones(3, 3), 'extra': torch.ones(1), 'mask_token': torch.ones(1)}
    with pytest.raises(ValueError, match='1 missing: bias; 1 left over: extra; 1 of another shape'):
        place(nn.Linear(2, 2), tensors, 'file.pth')


def test_tensors_arrive_as_they_are():
    layer = nn.Linear(2, 1)
    place(layer, {'weight': torch.tensor([[1.0, 2.0]]), 'bias': torch.tensor([3.0])}, 'file.pth')
    assert layer(torch.tensor([10.0, 100.0])).item() == 213.0


def test_address_is_fetched_once(address):
    root, site = address
    torch.save({'weight': torch.ones(2)}, site / 'vit.pth')
    first = read_state_dict(f'{root}/vit.pth')
    (site / 'vit.pth').unlink()
    assert torch.equal(read_state_dict(f'{root}/vit.pth')['weight'], first['weight'])


def test_fetched_file_that_would_run_code_is_refused_and_does_not(address, capsys):
    root, site = address
    torch.save({'state_dict': RunsCode()}, site / 'evil.pth')
    with pytest.raises(ValueError, match=r'evil\.pth is no weight file'):
        read_state_dict(f'{root}/evil.pth')
    assert 'never' not in capsys.readouterr().out


def test_fetched_file_whose_name_promises_another_checksum_is_refused(address):
    root, site = address
    torch.save({'weight': torch.ones(2)}, site / 'vit-01234567.pth')
    with pytest.raises(ValueError, match='wrong checksum'):
        read_state_dict(f'{root}/vit-01234567.pth')


def test_the_encoder_is_found_in_a_whole_models_checkpoint(tmp_path):
    state = random_encoder(tiny_vit()).vit.state_dict()
    others = {'backbone.aux_embed.projection.weight': torch.ones(1), 'decode_head.w': torch.ones(1)}
    checkpoint = {f'backbone.encoder.vit.{name}': value for name, value in state.items()}
    torch.save({'state_dict': {**checkpoint, **others}, 'meta': {}}, tmp_path / 'epoch_1.pth')
    assert read_encoder(str(tmp_path / 'epoch_1.pth')).keys() == state.keys()


def test_one_of_several_encoders_is_named_by_its_prefix(tmp_path):
    state = metas_names(random_encoder(tiny_vit()).vit.state_dict())
    both = {f'{who}.{name}': v for who in ('student', 'teacher') for name, v in state.items()}
    torch.save(both, tmp_path / 'two.pth')
    with pytest.raises(ValueError, match=r'2 encoders.* student\., teacher\.: .*init_cfg\.prefix'):
        read_encoder(str(tmp_path / 'two.pth'))
    assert len(read_encoder(str(tmp_path / 'two.pth'), 'teacher.')) == len(state)


@pytest.mark.parametrize(
    'names',
    [
        ('conv1.weight', 'layer1.0.conv1.weight'),
        ('patch_embed.proj.weight', 'layers.0.blocks.0.attn.qkv.weight'),  # a Swin
    ],
)
def test_file_without_a_known_vit_is_refused(tmp_path, names):
    torch.save(dict.fromkeys(names, torch.ones(1)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=rf'other\.pth holds no ViT that is known.*{names[0]}'):
        read_encoder(str(tmp_path / 'other.pth'))


def test_file_of_no_tensors_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='its names begin like nothing'):
        read_state_dict(str(tmp_path / 'list.pth'))


def test_an_architecture_is_said_in_words():
    registered = random_encoder(tiny_vit(num_registers=4)).vit.state_dict()
    sam = random_encoder(tiny_sam()).vit.state_dict()
    assert str(Architecture.of(registered)) == (
        'a DINOv2 of 4 blocks, 16 channels, patches of 14 and 4 registers'
    )
    assert str(Architecture.of(sam)) == 'a SAM encoder of 4 blocks, 16 channels, patches of 16'
