"""What a URL says: one file for each grammar. A dialect translates, it never decides."""
