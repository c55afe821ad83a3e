"""Installs mobanet_mmseg and the command `mobanet`; OpenMMLab's packages come with an extra."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(*names: str) -> list[str]:
    """Read requirements files without their comments."""
    texts = [(ROOT / 'requirements' / f'{name}.txt').read_text() for name in names]
    lines = [line.split('#')[0].strip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line]


setup(
    name='mobanet_mmseg',
    version='0.2.0',
    description='MoBaNet for MMSegmentation: optical + auxiliary remote-sensing segmentation',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    project_urls={
        'Paper': 'https://arxiv.org/abs/2603.17705',
        'MMSegmentation': 'https://github.com/open-mmlab/mmsegmentation',
    },
    keywords=['semantic segmentation', 'remote sensing', 'multimodal', 'DSM', 'MMSegmentation'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: GIS',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires='>=3.11,<3.14',
    packages=find_packages(include=['mobanet_mmseg', 'mobanet_mmseg.*', 'mobanet_cli']),
    # .mim holds configs, tools and demo, where OpenMMLab's commands look for them; in a checkout
    # these are links to the folders of the same names
    package_data={
        '': ['py.typed'],
        'mobanet_mmseg': ['.mim/*.yml', '.mim/*/**/*.*'],
        'mobanet_mmseg.conversion': ['dronedeploy_scenes.txt'],
    },
    exclude_package_data={'': ['*.pyc']},
    entry_points={'console_scripts': ['mobanet = mobanet_cli.commands:main']},
    install_requires=requirements('runtime'),
    extras_require={
        'openmmlab': requirements('openmmlab'),
        'lite': requirements('openmmlab', 'lite'),
        'onedl': requirements('onedl'),
        'vector': requirements('vector'),
        'onnx': requirements('onnx'),
        'docs': requirements('docs'),
        'tests': requirements('tests'),
    },
)
