"""The laboratory: features of an image found, slid, and held against their controls, in a browser or a
notebook."""

from saev.app.bench import Bench as Bench
from saev.app.changing import Change as Change
from saev.app.changing import answer as answer
from saev.app.looking import alike as alike
from saev.app.looking import card as card
from saev.app.looking import named as named
from saev.app.looking import strongest as strongest
from saev.app.server import serve as serve
from saev.app.session import Session as Session
