"""Tables IV and V, and MCRM taken apart, on ISPRS Potsdam by the paper's recipe, three seeds.

python tools/analysis_tools/run_study.py configs/studies/potsdam.py
"""
_base_ = '../_base_/studies/mobanet.py'
title = 'MoBaNet on ISPRS Potsdam'
config = '../mobanet/potsdam_dinov2_b.py'
seeds = [42, 43, 44]
datasets = dict(potsdam=dict(title='ISPRS Potsdam'))
