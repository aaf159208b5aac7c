"""The HTTP surface: requests in, headers and bodies out."""
