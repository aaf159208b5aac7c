"""Having a server make what will be asked for: from lists, sitemaps and presets to requests. For ``imgproxy warm``."""
