"""How fast, how good and how small the answers are, of this server, its peers and bare libvips: ``make bench``."""
