"""The benchmark of prediction, each of its sections at toy size."""

import re

import pytest
from scenes.commands import run_tool

from mobanet_mmseg.commands.benchmark_prediction import _run_command

pytestmark = pytest.mark.slow

SLIDE = ['--window', 64, '--stride', 32, '--size', 96, '--repeats', 1]
SCALING = ['--window', 64, '--stride', 32, '--repeats', 1, '--megapixels', 0.01, 0.02]


@pytest.fixture
def run(monkeypatch, capfd):
    """Run sections of the benchmark; gives what is printed."""

    def benchmark(section, *options):
        run_tool(
            monkeypatch, 'analysis_tools/benchmark_prediction.py', '--sections', section, *options
        )
        return capfd.readouterr().out

    return benchmark


def rows(output):
    """Cells of the table, row by row."""
    lines = [line for line in output.splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[1:]]


def numbers(row):
    return [float(cell) for cell in row[1:]]


def test_slide_compares_three_ways(run):
    output = run('slide', *SLIDE)
    assert 'cores' in output and 'torch 2' in output
    table = rows(output)
    assert [row[0] for row in table] == ['ours', 'the network alone', "MMSeg's slide_inference"]
    assert all(0 <= value < 1000 for row in table for value in numbers(row))
    assert numbers(table[1])[1::2] == [1, 1]
    gap = re.search(r"difference from MMSeg's logits.*: (\S+)", output)[1]
    assert float(gap) < 1e-5
    output = run('slide', *SLIDE, '--mmseg-windows', 2)
    assert "MMSeg's is extrapolated from 2 windows of 4" in output


def test_scaling_measures_files_with_and_without_overlap(run):
    table = rows(run('scaling', *SCALING))
    assert [row[:2] for row in table] == [
        ['64', '102 x 102'],
        ['64', '145 x 145'],
        ['32', '102 x 102'],
        ['32', '145 x 145'],
    ]
    assert all(value > 0 for row in table for value in map(float, row[2:]))
    assert [row[-1] for row in table[::2]] == ['1.000', '1.000']


def test_memory_is_that_of_the_command(run):
    ((pixels, peak, ratio, _),) = rows(run('memory', '--sides', 300))
    assert pixels == '300 x 300' and ratio == '1.000'
    assert 100 < float(peak.removesuffix(' MB')) < 10000


def test_the_peak_of_a_command_is_what_it_held_at_once(tmp_path):
    script, peaks = tmp_path / 'script.py', []
    for megabytes in (0, 200):
        script.write_text(
            f'held = b"x" * {megabytes * 10**6}\ndel held\nimport time; time.sleep(0.2)'
        )
        peaks.append(_run_command([script], tmp_path)[0])
    assert peaks[1] - peaks[0] == pytest.approx(200e6, rel=0.02)
