"""The package's configs by their names: found, inherited, copied for MMSeg's own tools."""

from pathlib import Path

import mmseg
import pytest
import yaml
from mmengine.config import Config
from scenes.commands import run_tool
from scenes.paths import ROOT

from mobanet_mmseg import MultimodalInferencer
from mobanet_mmseg.compat import get_installed_path, is_installed
from mobanet_mmseg.configs import CONFIGS, config_names, copy_config, find_config, read_config

POTSDAM = ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b.py'


@pytest.mark.parametrize(
    'name',
    [
        'mobanet_mmseg::mobanet/potsdam_dinov2_b.py',
        'mobanet/potsdam_dinov2_b.py',
        'mobanet/potsdam_dinov2_b',
        'potsdam_dinov2_b',
        str(POTSDAM),
    ],
)
def test_a_config_is_found_by_its_name(name):
    assert find_config(name).samefile(POTSDAM)


def test_what_others_inherit_is_found_by_its_whole_name_alone(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mobanet_mmseg::_base_/models/mobanet_dinov2_b.py'\n")
    assert Config.fromfile(path).model.type == 'MoBaNet'
    with pytest.raises(FileNotFoundError, match='neither a file nor a config'):
        find_config('mobanet_dinov2_b')


def test_an_own_file_comes_before_a_config_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('mobanet').mkdir()
    Path('mobanet/demo.py').touch()
    assert find_config('mobanet/demo.py').samefile(tmp_path / 'mobanet' / 'demo.py')


def test_what_is_no_config_is_refused_by_its_name():
    with pytest.raises(FileNotFoundError, match=r'posdam\.py is neither a file nor a config'):
        find_config('mobanet/posdam.py')


def test_stems_are_unambiguous():
    stems = [Path(name).stem for name in config_names()]
    assert len(stems) == len({*stems}) > 50


def test_a_project_inherits_by_the_name_of_the_package(tmp_path):
    inheriting = tmp_path / 'mine.py'
    inheriting.write_text("_base_ = 'mobanet_mmseg::mobanet/potsdam_dinov2_b.py'\n")
    assert Config.fromfile(inheriting).to_dict() == Config.fromfile(POTSDAM).to_dict()


def test_configs_of_other_packages_are_inherited_as_before(tmp_path):
    inheriting = tmp_path / 'mine.py'
    inheriting.write_text("_base_ = 'mmseg::_base_/models/segformer_mit-b0.py'\n")
    assert Config.fromfile(inheriting).model.backbone.type == 'MixVisionTransformer'


def test_packages_are_found_without_pkg_resources():
    assert is_installed('mmsegmentation')
    assert not is_installed('mmdet_of_nobody')
    assert get_installed_path('mmsegmentation') == str(Path(mmseg.__file__).parent)


def test_a_copy_with_its_bases_is_the_same_config(tmp_path):
    written = copy_config('mobanet/demo.py', tmp_path)
    assert written[0] == tmp_path / 'mobanet' / 'demo.py'
    assert tmp_path / '_base_' / 'default_runtime.py' in written
    original = Config.fromfile(ROOT / 'configs' / 'mobanet' / 'demo.py')
    assert Config.fromfile(written[0]).to_dict() == original.to_dict()
    copy_config('mobanet/demo.py', tmp_path)  # the same once more: nothing to lose
    written[-1].write_text('# changed\n')
    with pytest.raises(ValueError, match='is there already, with other content'):
        copy_config('mobanet/demo.py', tmp_path)
    assert written[-1].read_text() == '# changed\n'


def test_a_copy_is_made_where_it_is_asked_for(tmp_path):
    (tmp_path / 'mobanet').mkdir()
    (tmp_path / 'mobanet' / 'demo.py').symlink_to(tmp_path / 'elsewhere.py')
    with pytest.raises(ValueError, match='is there already'):
        copy_config('mobanet/demo.py', tmp_path)
    assert not (tmp_path / 'elsewhere.py').exists()
    copy_config('mobanet/demo.py', CONFIGS)  # onto itself


@pytest.mark.parametrize(
    ('base', 'said'),
    [
        ('5', 'mine.py: _base_ is 5, where a name of a file belongs'),
        ("'mobanet_mmseg::../../x.py'", r'mine\.py: .*x\.py is neither a file nor a config'),
    ],
)
def test_a_base_that_is_none_is_named_with_the_file_that_inherits_it(tmp_path, base, said):
    (tmp_path / 'mine.py').write_text(f'_base_ = {base}\n')
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        read_config(tmp_path / 'mine.py')


def test_a_file_of_ones_own_is_not_copied(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text('model = dict()\n')
    with pytest.raises(ValueError, match='a file of your own'):
        copy_config(str(own), tmp_path / 'copies')


def test_the_model_index_names_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index['Import'] == sorted(
        path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/metafile.yml')
    )


def test_every_model_of_the_index_is_a_config():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for metafile in index['Import']:
        for model in yaml.safe_load((ROOT / metafile).read_text())['Models']:
            assert (ROOT / model['Config']).is_file(), model['Config']


@pytest.mark.parametrize('tool', ['test.py', 'misc/check_data.py'])
def test_a_tool_takes_a_config_by_its_name(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    rest = ['none.pth'] if tool == 'test.py' else []
    for name, says_so in (('mobanet/demo', False), ('mobanet/nothing', True)):
        with pytest.raises((SystemExit, FileNotFoundError)) as ended:
            run_tool(monkeypatch, tool, name, *rest)
        said = str(ended.value) + capsys.readouterr().err
        assert ('is neither a file nor a config' in said) == says_so, said


def test_the_python_face_takes_a_config_by_its_name():
    with pytest.raises(FileNotFoundError, match='mobanet/nothing is neither a file nor a config'):
        MultimodalInferencer('mobanet/nothing', 'none.pth')
    with pytest.raises(FileNotFoundError, match='none.pth'):
        MultimodalInferencer('mobanet/demo', 'none.pth')
