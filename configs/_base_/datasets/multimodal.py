"""A template for rasters of your own: copy it, and change what is commented.

    data/mine/optical/A.tif  data/mine/height/A.tif  data/mine/labels/A.tif
    data/mine/train.txt      data/mine/test.txt      one stem ('A') a line

The three rasters of a tile lie on one grid: same size, same place. A label of one band holds class
indices, one of three bands the palette's colours (black is no label).

    python tools/misc/check_data.py CONFIG                               what will hurt, before training
    python tools/analysis_tools/browse_dataset.py CONFIG --out pictures  what the network gets
"""
_base_ = './pipeline.py'
dataset_type = 'MultimodalSegDataset'
data_root = 'data/mine'
metainfo = dict(
    classes=('background', 'building'),  # yours, in the order of their indices
    palette=[[128, 128, 128], [255, 0, 0]])
num_classes = len(metainfo['classes'])
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=metainfo,
    # aux_path=None: the optical image alone, as MMSeg's own models take it
    data_prefix=dict(img_path='optical', aux_path='height', seg_map_path='labels'),
    img_suffix='.tif',
    aux_suffix='.tif',
    seg_map_suffix='.tif',
    img_bands=(1, 2, 3),  # in the order of the model's channels; (4, 1, 2) is an IR-R-G of RGBIR
    aux_bands=(1, ),
    # 'tile': each tile's own min and max; ('percentile', 1, 99): its own percentiles, values beyond
    # are clipped (tools/misc/check_data.py says where outliers call for it); (low, high) in the
    # raster's unit; None: as they are
    aux_range='tile',
    aux_kind='height',  # how it is drawn: 'height' shaded, 'sar' (dB) grey, 'bands' in colour
    label_values=None,  # value of each class in an index label, for example (1, 2); None: 0, 1
    label_ignore=(255, ))  # values that mean 'no label'; so does the raster's nodata value
train_dataloader = dict(dataset=dict(dataset, ann_file='train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='test.txt'))
test_dataloader = val_dataloader
