"""What a model is asked: frozen readouts, and the model from an edited layer on."""

from saev.tasks.concept_heads import evaluate_concepts as evaluate_concepts
from saev.tasks.concept_heads import train_concepts as train_concepts
from saev.tasks.continuation import Continuation as Continuation
from saev.tasks.heads import TaskOptions as TaskOptions
from saev.tasks.heads import evaluate_task as evaluate_task
from saev.tasks.heads import train_task as train_task
from saev.tasks.task import READOUTS as READOUTS
from saev.tasks.task import Asking as Asking
from saev.tasks.task import Task as Task
from saev.tasks.task import load_task as load_task
from saev.tasks.task import save_task as save_task
