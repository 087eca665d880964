"""AMBER: multilingual encoders whose sentences and words of equal meaning lie together.

Reading order for a newcomer: `types`, `model/rows`, `losses/`, `model/encoder`,
`objectives`, `reductions`, `training/step`, `training/parallel`, `training/loop`,
`data/order`, `data/pipeline`, `pretrain`, then one file of `configs/`.
"""

__version__ = "0.1.0"
