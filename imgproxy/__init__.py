"""An image transformation server: a signed URL in, the right image out.

Nearly empty on purpose: every render process executes this file.
"""

__version__ = "0.1.0"
