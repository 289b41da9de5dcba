"""Images with labels, and how they are prepared for a backbone."""

from saev.data.ade20k import Ade20k as Ade20k
from saev.data.cub import Cub as Cub
from saev.data.decode import CorruptImage as CorruptImage
from saev.data.folder import ImageFolder as ImageFolder
from saev.data.hugging_face import HuggingFace as HuggingFace
from saev.data.mosaic import Mosaic as Mosaic
from saev.data.patch_labels import majority_labels as majority_labels
from saev.data.preprocess import Preprocess as Preprocess
from saev.data.sample import IGNORE as IGNORE
from saev.data.sample import ImageDataset as ImageDataset
from saev.data.sample import Sample as Sample
from saev.data.semprobe import SemProbe as SemProbe
from saev.data.web_dataset import WebDataset as WebDataset
