"""Runs commands as a user does."""

import os
import subprocess
import sys


def run(*command, cwd, fails=False):
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
    assert (done.returncode != 0) == fails, output[-4000:]
    return output
