"""Which of OpenMMLab's packages are there, and whether two share a folder."""

import sys
import warnings

import pytest

from mobanet_mmseg import installation
from mobanet_mmseg.installation import check_installation, how_to_install


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package and the records of distributions into a folder that is searched alone."""

    def put(package: str, *names: str) -> None:
        (tmp_path / package).mkdir()
        (tmp_path / package / '__init__.py').touch()
        for name in names:
            record = tmp_path / f'{name.replace("-", "_")}-1.0.dist-info'
            record.mkdir()
            (record / 'METADATA').write_text(f'Name: {name}\nVersion: 1.0\n')

    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    for name in installation.DISTRIBUTIONS:
        monkeypatch.delitem(sys.modules, name)
    return put


def test_one_distribution_of_each_package_is_fine(install):
    for package, names in installation.DISTRIBUTIONS.items():
        install(package, names[-1])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_installation()


def test_a_fork_over_its_upstream_is_named_with_what_to_do(install):
    install('mmcv', 'mmcv', 'mmcv-lite')
    install('mmengine', 'mmengine', 'onedl-mmengine')
    install('mmseg', 'onedl-mmsegmentation')
    install('mmpretrain')
    with pytest.warns(UserWarning, match='over each other') as found:
        check_installation()
    assert 'pip uninstall mmcv mmcv-lite mmengine onedl-mmengine`' in str(found[0].message)
    assert 'mmsegmentation' not in str(found[0].message)


def test_a_missing_package_is_named_with_what_to_do(install):
    install('mmcv', 'mmcv-lite')
    install('mmengine', 'mmengine')
    with pytest.raises(ModuleNotFoundError, match=r'needs mmseg, mmpretrain, .*\[lite\]'):
        check_installation()


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Puts the package's own record, and what pip writes of where it came from, beside a copy."""

    def put(origin: str | None = None) -> None:
        folder = tmp_path / 'mobanet_mmseg-0.2.0.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text('Name: mobanet_mmseg\nVersion: 0.2.0\n')
        if origin is not None:
            (folder / 'direct_url.json').write_text(f'{{"url": "{origin}"}}')

    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    monkeypatch.setattr(installation, 'SOURCES', tmp_path)
    return put


@pytest.mark.parametrize(
    ('origin', 'expected'),
    [
        ('file:///home/me/my%20wheels/mobanet_mmseg-0.2.0-py3-none-any.whl', '/home/me/my wheels/'
         'mobanet_mmseg-0.2.0-py3-none-any.whl[vector]'),
        ('https://example.org/m.whl', 'mobanet_mmseg[vector] @ https://example.org/m.whl'),
        (None, 'mobanet_mmseg[vector]'),
    ],
)  # fmt: skip
def test_an_extra_is_installed_from_where_the_package_came(record, origin, expected):
    record(origin)
    assert how_to_install('vector') == f"pip install '{expected}'"


def test_an_extra_of_a_checkout_is_installed_from_it(record, tmp_path):
    record()
    (tmp_path / 'pyproject.toml').touch()
    assert how_to_install('onnx') == f"pip install -e '{tmp_path}[onnx]'"
