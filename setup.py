"""Installs mobanet_mmseg; mmcv-lite comes with the extra `lite`, full mmcv is left to the user."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Read a requirements file without its comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


setup(
    name='mobanet_mmseg',
    version='0.1.0',
    description='MoBaNet for MMSegmentation: optical + auxiliary remote-sensing segmentation',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11,<3.13',
    packages=find_packages(include=['mobanet_mmseg', 'mobanet_mmseg.*']),
    package_data={'mobanet_mmseg.conversion': ['dronedeploy_scenes.txt']},
    install_requires=requirements('runtime'),
    extras_require={
        'lite': requirements('lite'),
        'vector': requirements('vector'),
        'tests': requirements('tests'),
    },
)
