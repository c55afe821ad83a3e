"""How long the study's network has to be trained: three of its cells, by half and twice as long.

python tools/analysis_tools/run_study.py configs/studies/city_schedule.py --jobs 2
"""
title = 'Schedules of the small MoBaNet'
config = '../mobanet/demo_study.py'
seeds = [1]
unmasked = dict(data_preprocessor=dict(mcrm=None), auxiliary_head=None)
models = dict(
    full=dict(),
    anymodality=dict(data_preprocessor=dict(mcrm=dict(whole_ratio=0.5))),
    rgb=unmasked)
cells = {
    f'{name}_{iterations}': dict(
        title=f'{name}, {iterations} iterations',
        modality='rgb' if name == 'rgb' else None,
        options={
            'model': model,
            'train_dataloader.sampler.num_samples': 8 * iterations,
            'param_scheduler.0.end': iterations // 20,
            'param_scheduler.1.begin': iterations // 20,
            'param_scheduler.1.end': iterations,
        })
    for name, model in models.items() for iterations in (800, 1600, 3200)
}
datasets = dict(
    city_03=dict(
        title='city of ambiguity 0.3',
        city=dict(root='data/city_03', ambiguity=0.3, size=512, gsd=0.12, train=24, test=14)))
del models, unmasked
