"""Activations on disk: one Zarr v3 group per (data split, backbone)."""

from saev.activations.inspection import inspect_store as inspect_store
from saev.activations.origin import Origin as Origin
from saev.activations.origin import agree as agree
from saev.activations.recorder import record as record
from saev.activations.recording import Recording as Recording
from saev.activations.store import Store as Store
from saev.activations.stream import ActivationStream as ActivationStream
from saev.activations.tokens import Chunk as Chunk
from saev.activations.tokens import Tokens as Tokens
