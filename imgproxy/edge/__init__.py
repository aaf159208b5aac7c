"""The edge: nginx before the nodes, and what nodes tell it."""
