"""``python -m imgproxy``, the same as the ``imgproxy`` command."""

from imgproxy.cli import main

if __name__ == "__main__":
    main()
