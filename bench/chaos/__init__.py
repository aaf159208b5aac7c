"""Every fault that a node, an edge or a region must survive, with real parts: ``python -m bench.chaos``.

A row is a fault, what is seen of it, and the figure that it must keep to. Its *twin* is the same fault with one defence
taken out (``stripped.py``, or another setting): it has to miss that figure, or the row would prove nothing.
"""
