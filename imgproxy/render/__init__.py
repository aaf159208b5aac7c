"""Pixels: the pool of render processes, and what happens inside one. The only room that knows libvips."""
