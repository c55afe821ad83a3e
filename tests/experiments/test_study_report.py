import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from scenes.studies import stand_in, write_study

from mobanet_mmseg.experiments import study_plots
from mobanet_mmseg.experiments.contrasts import Contrasts, Term
from mobanet_mmseg.experiments.statistics import Summary
from mobanet_mmseg.experiments.study import Study
from mobanet_mmseg.experiments.study_plots import Line, draw_cells
from mobanet_mmseg.experiments.study_report import StudyReport
from mobanet_mmseg.experiments.study_runs import plan, read_results, work_off

# of ten pixels of a class, on both tiles; without aux the plain network knows nothing
RIGHT = {
    'plain': {'both': 8, 'rgb': 0, 'aux': 2},
    'full': {'both': 9, 'rgb': 8, 'aux': 4},
    'rgb': {'rgb': 9},
    'aux': {'aux': 5},
}


def right(run, modality, tile):
    """The second seed of the full network gets all of the second tile with both."""
    cell = run.name.split('/')[1]
    better = (cell, modality, run.seed, tile) == ('full', 'both', 2, 1)
    return RIGHT[cell][modality] + better


@pytest.fixture
def report(tmp_path, monkeypatch):
    stand_in(monkeypatch, right)
    study = Study.read(write_study(tmp_path))
    report = StudyReport(study, plan(study, tmp_path / 'runs'))
    assert all(outcome.result for outcome in work_off(report.parts, None, tmp_path / 'runs', 0, 1))
    return report


def rows_of(text, title):
    """The cells of a table of a Markdown text, by row."""
    lines = text.split(f'## {title}')[1].split('\n## ')[0].splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if '|' in line]


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def iou(correct, of=10):
    return 100 * correct / (2 * of - correct)


def test_tables_have_means_gains_drops_and_bounds_by_hand(report, tmp_path):
    names = [path.name for path in report.write(tmp_path)]
    assert names == ['study.md', 'scores.csv', 'differences.csv', 'runs.csv', 'study.png']
    text = (tmp_path / 'study.md').read_text()
    assert text.startswith('# A study; 2 seeds; 10 runs\n')
    both = [iou(9), iou(19, 20)]  # of the full network, by seed
    mean, spread = np.mean(both), np.std(both, ddof=1)
    overview = rows_of(text, 'One: mIoU')
    assert overview[0][2:7] == [
        'both', 'rgb alone', 'aux alone', 'of the rgb bound', 'of the aux bound'
    ]  # fmt: skip
    full = [f'{mean:.2f} ± {spread:.2f}', f'{iou(8):.2f} ± 0.00', f'{iou(4):.2f} ± 0.00']
    assert overview[3][:5] == ['Full', '1.500', *full]
    assert overview[3][5:] == [
        f'{100 * iou(8) / iou(9):.1f} %', f'{100 * iou(4) / iou(5):.1f} %', '2', ''
    ]  # fmt: skip
    assert overview[4][2:5] == ['-', f'{iou(9):.2f} ± 0.00', '-']  # the rgb bound
    gain = rows_of(text, 'One: components')[3]
    assert gain[5] == f'{mean - iou(8):+.2f}'
    assert gain[-5:] == ['6.18', '92.11', '93.40', '87.80', '-']  # the plain one is not the paper's
    change = rows_of(text, 'One: a modality')
    assert change[3][5] == f'{iou(8) - mean:+.2f}'
    assert change[3][-2:] == ['86.63', '-1.17']
    less = iou(8) - mean - (0 - iou(8))
    assert change[8][0] == 'Full, less lost than by Plain' and change[8][5] == f'{less:+.2f}'
    assert rows_of(text, 'One: MCRM')[5][3] == f'{iou(8) - 0:+.2f}'  # full, rgb alone
    assert 'Other: components' in text and 'Failed' not in text


def test_numbers_are_those_of_the_runs(report, tmp_path):
    report.write(tmp_path)
    runs = read_csv(tmp_path / 'runs.csv')
    assert len(runs) == 2 * (3 + 3 + 1 + 1 + 3)
    assert runs[0]['seconds'] == '12.0' and runs[0]['input'] == 'both'
    scores = read_csv(tmp_path / 'scores.csv')
    (found,) = [
        row
        for row in scores
        if (row['dataset'], row['cell'], row['input']) == ('one', 'rgb', 'rgb')
    ]
    assert float(found['IoU.house_mean']) == pytest.approx(iou(9))
    assert found['IoU.other_mean'] == ''  # is nowhere
    differences = read_csv(tmp_path / 'differences.csv')
    (drop,) = [
        row for row in differences
        if (row['dataset'], row['cell'], row['against'], row['input'])
        == ('other', 'full', 'both', 'rgb')
    ]  # fmt: skip
    assert drop['n'] == '2' and float(drop['points']) < 0


def test_interval_over_seeds_is_students_and_that_over_tiles_of_their_draws(report):
    full = next(part for part in report.parts if part.cell.key == 'full')
    contrast = Contrasts().of([Term(1, full, 'both'), Term(-1, full, 'aux')])
    values = np.array([iou(9), iou(19, 20)]) - iou(4)
    half = 12.7062 * np.std(values, ddof=1) / math.sqrt(2)  # t of one degree of freedom
    assert contrast.points == pytest.approx(values.mean())
    assert contrast.seeds == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-5)
    # the second tile twice: 10 of 10 by the second seed; the first one twice: 9 of 10 by both
    assert contrast.tiles == pytest.approx((iou(9) - iou(4), (iou(9) + 100) / 2 - iou(4)))
    assert contrast.count == 2


def test_other_tiles_have_no_interval_and_no_common_seed_no_difference(report):
    plain, full = report.parts[:2]
    tested = full.results[2]['tiles']['both']
    tested['elsewhere'] = tested.pop('t1')
    contrast = Contrasts().of([Term(1, full, 'both'), Term(-1, plain, 'both')])
    assert math.isfinite(contrast.points) and math.isnan(contrast.tiles[0])
    del full.results[1], plain.results[2]
    contrast = Contrasts().of([Term(1, full, 'both'), Term(-1, plain, 'both')])
    assert contrast.count == 0 and contrast.text == ('-', '-', '-')


def test_a_partial_study_says_so_and_a_failed_run_why(report, tmp_path):
    fresh = StudyReport(report.study, plan(report.study, tmp_path / 'runs'))
    read_results(fresh.parts)
    plain, full = fresh.parts[:2]
    assert len(full.results) == 2
    plain.results.clear()
    full.results.pop(2)
    full.failures[2] = 'The disk is full (log.txt).'
    fresh.write(tmp_path)
    text = (tmp_path / 'study.md').read_text()
    assert text.startswith('# A study; 2 seeds; PARTIAL: 7 of 10 runs done\n')
    overview = rows_of(text, 'One: mIoU')
    assert overview[2][2:] == ['-', '-', '-', '-', '-', '0', 'not run']
    assert overview[3][-2:] == ['1', '1 failed']
    assert '- one/full, seed 2: The disk is full (log.txt).' in text
    assert rows_of(text, 'One: components')[3][5] == '-'


def test_a_run_of_another_config_is_not_taken_for_done(report, tmp_path):
    study = replace(report.study, options={'model.decode_head.channels': 8})
    parts = plan(study, tmp_path / 'runs')
    read_results(parts)
    assert not any(part.results for part in parts)


def test_the_plot_has_a_marker_where_there_is_a_score_and_a_line_at_each_bound(monkeypatch):
    drawn, lines = {}, []
    monkeypatch.setattr(
        study_plots.Axes,
        'errorbar',
        lambda self, x, y, label, **style: drawn.setdefault(label, []).append((x, y)),
    )
    monkeypatch.setattr(study_plots.Axes, 'axvline', lambda self, x, **style: lines.append(x))
    nothing = Summary.of([])
    score = Summary.of([50.0, 60.0])
    cells = [
        Line('a', dict(both=score, rgb=nothing, aux=nothing)),
        Line('b', dict(both=score, rgb=score, aux=nothing)),
    ]
    draw_cells({'one': cells, 'other': cells[1:]}, {'one': {'rgb': 70.0}}, 'mIoU', 'A title')
    assert drawn['tested with both'] == [([55.0, 55.0], [0, 1]), ([55.0], [1])]
    assert drawn['tested with rgb alone'] == [([55.0], [1]), ([55.0], [1])]
    assert drawn['tested with aux alone'] == [([], []), ([], [])]
    assert lines == [70.0]
    monkeypatch.undo()
    picture = draw_cells({'one': cells}, {}, 'mIoU', 'A title')
    assert picture.ndim == 3 and picture.std() > 0
