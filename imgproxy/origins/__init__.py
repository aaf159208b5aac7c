"""Where sources come from: ``fetch.Origins`` is the one way in."""
