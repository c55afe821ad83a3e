"""The paper's Tables IV and V, and MCRM taken apart: the cells of a study of any full MoBaNet.

A study inherits it and names the config of the full model (config = ...), seeds and data sets.
Options are laid over that config, as --cfg-options are.
"""
unmasked = dict(data_preprocessor=dict(mcrm=None), auxiliary_head=None)
cells = dict(
    # Table IV
    base=dict(
        title='Base',
        paper='Base',
        options=dict(model=dict(unmasked, backbone=dict(cpia=None), neck=dict(gated=False)))),
    cpia=dict(
        title='Base + CPIA',
        paper='Base + CPIA',
        options=dict(model=dict(unmasked, neck=dict(gated=False)))),
    dgfm=dict(
        title='Base + CPIA + DGFM',
        paper='Base + CPIA + DGFM',
        options=dict(model=unmasked)),
    full=dict(title='full: + MCRM', paper='Full'),
    # MCRM's parts, and more of each
    hard=dict(
        title='hard-pixel losses alone',
        options=dict(model=dict(data_preprocessor=dict(mcrm=None)))),
    masks=dict(title='masks alone', options=dict(model=dict(auxiliary_head=None))),
    half=dict(
        title='MCRM on half of the samples',
        options=dict(model=dict(data_preprocessor=dict(mcrm=dict(ratio=0.5))))),
    large=dict(
        title='masks of 10 to 100 %, on half',
        options=dict(
            model=dict(data_preprocessor=dict(mcrm=dict(ratio=0.5, area_ratio=(0.1, 1.0)))))),
    whole=dict(
        title='whole modalities of half, no masks',
        options=dict(
            model=dict(data_preprocessor=dict(mcrm=dict(ratio=0.0, whole_ratio=0.5))))),
    anymodality=dict(
        title='whole modalities of half + MCRM',
        options=dict(model=dict(data_preprocessor=dict(mcrm=dict(whole_ratio=0.5))))),
    quarter=dict(
        title='whole modalities of a quarter + MCRM',
        options=dict(model=dict(data_preprocessor=dict(mcrm=dict(whole_ratio=0.25))))),
    # what can be reached by one modality
    rgb=dict(title='trained on rgb alone', modality='rgb', options=dict(model=unmasked)),
    aux=dict(title='trained on aux alone', modality='aux', options=dict(model=unmasked)))
tables = dict(
    components=['base', 'cpia', 'dgfm', 'full'],  # Table IV, each beside the one above
    robustness=['full', 'anymodality', 'dgfm'],  # Table V, each beside the last
    masks=['dgfm', 'hard', 'masks', 'full', 'half', 'large', 'whole', 'anymodality', 'quarter'])
del unmasked
