# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What files call their columns, images, units and masks, and what their headers mean."""
