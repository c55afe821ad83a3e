"""Runs commands as a user does."""

import runpy
import subprocess
import sys
from collections import OrderedDict

from mmengine.logging import MessageHub, MMLogger
from mmseg.visualization import SegLocalVisualizer
from scenes.paths import ROOT

# one a name and process: commands of one name and second would log and count as the first of them
KEPT = (MMLogger, MessageHub, SegLocalVisualizer)


def run(*command, cwd):
    """Run a command of the repository; give what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    return output


def run_tool(patch, tool: str, *arguments: object) -> None:
    """Run a file of tools/ as if these arguments followed it, in this process, as in one anew."""
    forget_commands(patch)
    patch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')


def forget_commands(patch) -> None:
    """Let a command of this process have its own logger, message hub and visualizer."""
    for kind in KEPT:
        patch.setattr(kind, '_instance_dict', OrderedDict())
