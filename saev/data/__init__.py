"""Images with labels, and how they are prepared for a backbone."""

from saev.data.folder import ImageFolder as ImageFolder
from saev.data.mosaic import Mosaic as Mosaic
from saev.data.patch_labels import IGNORE as IGNORE
from saev.data.patch_labels import majority_labels as majority_labels
from saev.data.preprocess import Preprocess as Preprocess
from saev.data.sample import ImageDataset as ImageDataset
from saev.data.sample import Sample as Sample
