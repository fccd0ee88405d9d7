"""Every peer, in the order of the tables."""

from benchmarks.peers.floors import FLOORS
from benchmarks.peers.native import NATIVE
from benchmarks.peers.node import NODE
from benchmarks.peers.others import OTHERS
from benchmarks.peers.ours import OURS
from benchmarks.peers.python import PYTHON

PEERS = (*OURS, *FLOORS, *NATIVE, *PYTHON, *NODE, *OTHERS)
