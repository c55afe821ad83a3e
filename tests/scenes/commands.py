"""Runs commands as a user does."""

import os
import runpy
import subprocess
import sys

from scenes.paths import ROOT


def run(*command, cwd):
    """Run a command of the repository; give what it printed."""
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    return output


def run_tool(patch, tool: str, *arguments: object) -> None:
    """Run a file of tools/ in this process, as if these arguments followed it."""
    patch.setattr(sys, 'argv', [tool, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
