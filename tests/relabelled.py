"""Labels of one's own on a store that is recorded."""

import numpy as np

from saev.activations import Store
from saev.data import IGNORE


class Relabelled(Store):
    """A store as if other labels had been recorded.

    Args:
        image: (n_images,) label of each image.
        patch: (n_images, patches) label of each patch; None: its image's, as where there are no masks.
        missing: images that could not be decoded.
    """

    def __init__(self, store: Store, classes, image, patch=None, missing=()):
        super().__init__(store.path)
        self.classes = tuple(classes)
        n_patches = self.grid[0] * self.grid[1]
        self._image = np.asarray(image).astype(np.uint16)
        patch = np.repeat(self._image[:, None], n_patches, axis=1) if patch is None else patch
        self._patch = np.asarray(patch).astype(np.uint16)
        for labels in (self._image, self._patch):
            labels[list(missing)] = IGNORE
        vars(self)["present"] = ~np.isin(np.arange(self.n_images), list(missing))

    def patch_labels(self):
        return self._patch

    def image_labels(self):
        return self._image
