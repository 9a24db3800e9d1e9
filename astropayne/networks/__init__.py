# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Networks on arrays: layers, training loop, objectives, feed, checkpoints, fine-tuning."""
