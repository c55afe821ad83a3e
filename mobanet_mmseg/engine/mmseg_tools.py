"""Runs MMSegmentation's own tools after this package has mended the stack and is registered.

Run by their paths, they import ``mmseg.models`` before a config can import this package: with
mmcv-lite they end at ``mmcv._ext`` then.
"""

import runpy
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mobanet_mmseg.configs import PACKAGE, find_config

# what does the same for two modalities, or what is missing, where one of them fails
INSTEAD = {
    'analysis_tools/analyze_logs': 'It draws with seaborn: `pip install seaborn`.',
    'analysis_tools/browse_dataset': '`mobanet browse-dataset CONFIG --out DIR` draws samples.',
    'analysis_tools/get_flops': (
        '`mobanet count-parameters CONFIG` counts parameters and multiply-adds.'
    ),
    'analysis_tools/visualization_cam': (
        '`mobanet response-maps` draws Grad-CAM of the fused, the rgb and the aux branch.'
    ),
    'deployment/pytorch2torchscript': (
        '`mobanet export-onnx CONFIG CHECKPOINT --out FILE` exports a model of both images.'
    ),
    'misc/browse_dataset': '`mobanet browse-dataset CONFIG --out DIR` draws samples.',
    'torchserve/mmseg2torchserve': 'It serves one image of three channels: use `mobanet predict`.',
}


def tool_paths() -> dict[str, Path]:
    """Give the files of MMSegmentation's tools by their names, as in ``'misc/print_config'``.

    Raises:
        ValueError: If it was installed without them.
    """
    folder = Path(find_spec('mmseg').origin).parent / '.mim' / 'tools'
    files = sorted(folder.rglob('*.py'))
    if not files:
        raise ValueError(
            f'MMSegmentation was installed without its tools, {folder} does not exist: install it '
            'by pip from a wheel or a source distribution.'
        )
    return {path.relative_to(folder).with_suffix('').as_posix(): path for path in files}


def find_tool(asked: str) -> str:
    """Find a tool by its name, or by the last part of it where no other has the same.

    Args:
        asked: ``'get_flops'`` or ``'analysis_tools/get_flops'``, with ``.py`` or without.

    Returns:
        Its whole name.

    Raises:
        ValueError: If there is no such tool, or several.
    """
    asked, names = asked.removesuffix('.py'), list(tool_paths())
    found = [name for name in names if asked in (name, Path(name).name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f'{asked} is the name of several tools: give {" or ".join(found)}.')
    raise ValueError(f'MMSegmentation has no tool {asked}; it has {", ".join(names)}.')


def run_mmseg_tool(asked: str, arguments: Sequence[str]) -> None:
    """Run a tool as if its file were called with the arguments.

    Args:
        asked: See :func:`find_tool`.
        arguments: What follows it. The name of a config of this package, as in
            ``'mobanet/demo.py'``, stands for its file.

    Raises:
        ValueError: If there is no such tool, or it fails where something else does the work.
    """
    name = find_tool(asked)
    path = tool_paths()[name]
    sys.argv = [str(path), *map(_config_or_word, arguments)]
    try:
        runpy.run_path(str(path), run_name='__main__')
    except Exception as error:  # whatever the code of others raises
        if name not in INSTEAD:
            raise
        said = str(error).partition('\n')[0].rstrip('.')
        raise ValueError(
            f"MMSegmentation's {name} ended with {type(error).__name__}: {said}. {INSTEAD[name]}"
        ) from error


def _config_or_word(word: str) -> str:
    """Give the path of a config of this package, or the word itself."""
    if Path(word).exists() or not (word.startswith(f'{PACKAGE}::') or word.endswith('.py')):
        return word
    try:
        return str(find_config(word))
    except FileNotFoundError:
        return word  # for the tool to refuse
