"""The study of docs/study: a small MoBaNet on two synthetic cities, 60 runs.

python tools/analysis_tools/run_study.py configs/studies/city.py --jobs 2
"""
_base_ = '../_base_/studies/mobanet.py'
title = 'A small MoBaNet on synthetic cities'
config = '../mobanet/demo_study.py'
seeds = [1, 2, 3]
datasets = dict(
    # an object's looks tell its class, more or less
    city_03=dict(
        title='city of ambiguity 0.3',
        city=dict(root='data/city_03', ambiguity=0.3, size=512, gsd=0.12, train=24, test=14)),
    # no class can be told by one modality
    city_10=dict(
        title='city of ambiguity 1',
        city=dict(root='data/city_10', ambiguity=1.0, size=512, gsd=0.12, train=24, test=14),
        cells=['base', 'cpia', 'dgfm', 'full', 'anymodality', 'rgb', 'aux']))
